"""A bank's call list as requests, and what a cap allows of it, computed from dates alone. No broker, no core."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from contactgate.calls.list import Client, calls_in_order, read_calls
from contactgate.calls.oracle import allowed
from contactgate.calls.requests import policy, request
from contactgate.codec.tokens import is_address_token
from contactgate.errors import DocumentError
from contactgate.policy.load import load_policy

EXCERPT = Path(__file__).parents[2] / "data" / "bank-calls-excerpt.csv"
MONTH = timedelta(days=30)


def test_the_calls_of_a_list_come_one_a_day_and_in_time_order():
    """A client's calls lie on the days up to the last one; all clients are merged by time."""
    clients = [Client("a", date(2009, 3, 2), 3), Client("b", date(2009, 3, 1), 1)]
    calls = list(calls_in_order(clients))
    assert [(call.client, call.day.isoformat()) for call in calls] == [
        ("a", "2009-02-28"), ("a", "2009-03-01"), ("b", "2009-03-01"), ("a", "2009-03-02"),
    ]  # fmt: skip
    message = json.loads(request(calls[0]))
    assert message["time"] == "2009-02-28T10:00:00Z"
    assert is_address_token(message["address_token"])


@pytest.mark.parametrize("count", [1, 3, 4, 30, 31, 33, 34, 63, 100])
def test_a_month_of_three_allows_the_closed_formula(count):
    """Under 3 in 30 days a client with n daily calls gets 3 for every full 30 and at most 3 of the rest."""
    clients = [Client("a", date(2010, 1, 1), count)]
    assert len(allowed(clients, 3, MONTH)) == 3 * (count // 30) + min(count % 30, 3)


def test_the_excerpt_of_the_real_list():
    """Of the calls in the excerpt the cap allows as many as the formula says."""
    clients = read_calls(EXCERPT)
    assert len(clients) == len(EXCERPT.read_text().splitlines()) - 1
    expected = sum(3 * (client.calls // 30) + min(client.calls % 30, 3) for client in clients)
    assert len(allowed(clients, 3, MONTH)) == expected
    assert len({call.request_id for call in calls_in_order(clients)}) == sum(client.calls for client in clients)


def test_the_policy_of_a_replay_is_valid():
    """The generated policy loads, also for windows that are not whole days."""
    load_policy(policy(3, MONTH))
    load_policy(policy(1, timedelta(hours=36)))


@pytest.mark.parametrize(
    ("rows", "place", "words"),
    [
        ("client,calls\n1,2\n", "line 1", "last_call is missing"),
        ("client,last_call,calls\n1,2008-13-01,2\n", "line 2", "not a date"),
        ("client,last_call,calls\n1,2008-12-01,2\n2,2008-12-01,none\n", "line 3", "whole number"),
        ("client,last_call,calls\n1,2008-12-01,0\n", "line 2", "whole number"),
        ("client,last_call,calls\n1,2008-12-01,2\n1,2008-12-02,2\n", "line 3", "same as in line 2"),
        ("client,last_call,calls\n1,2008-12-01\n", "line 2", "number of fields"),
        ("client,last_call,calls\n1,2008-12-01,2,3\n", "line 2", "number of fields"),
        ("client,last_call,calls\n,2008-12-01,2\n", "line 2", "printable"),
        ("client,last_call,calls\n1,2000-01-05,60\n", "line 2", "2000-01-01"),
        ("client,last_call,calls\n", "", "no rows"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, rows, place, words):
    """A malformed list is refused whole, with the line and what to do."""
    file = tmp_path / "calls.csv"
    file.write_text(rows)
    with pytest.raises(DocumentError) as caught:
        read_calls(file)
    assert [fault.place for fault in caught.value.faults] == [place]
    assert words in caught.value.faults[0].message


def test_all_wrong_rows_are_named_at_once_up_to_a_number(tmp_path):
    """Not only the first fault is reported; after twenty the rest are counted."""
    file = tmp_path / "calls.csv"
    file.write_text("client,last_call,calls\n" + "".join(f"{n},never,1\n" for n in range(30)))
    with pytest.raises(DocumentError) as caught:
        read_calls(file)
    assert len(caught.value.faults) == 21
    assert "10 more" in caught.value.faults[-1].message


def test_a_file_that_is_not_text_is_refused(tmp_path):
    """Bytes that are no utf-8 are an error that says so, not a traceback."""
    file = tmp_path / "calls.csv"
    file.write_bytes(b"client,last_call,calls\n\xff,2008-01-01,1\n")
    with pytest.raises(DocumentError, match="utf-8"):
        read_calls(file)
