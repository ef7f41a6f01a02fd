"""Instants as text and back: what is published, what people read, and their bounds."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from contactgate.model.instants import DAY_MS, EPOCH_ORDINAL, instant, stamp, to_ms

AT = 1_775_000_000_000


def told(at_ms: int) -> str:
    """The same by the standard library."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("at_ms", [0, 999, AT, AT + 1, AT + DAY_MS - 1, 951_782_400_000, 253_402_300_799_999])
def test_a_stamp_is_rfc_3339_with_milliseconds(at_ms: int) -> None:
    """Written by hand for speed, it equals what the standard library writes, the first time and remembered."""
    assert stamp(at_ms) == told(at_ms)
    assert stamp(at_ms) == told(at_ms)


def test_people_read_milliseconds_only_if_there_are_any() -> None:
    """A whole second has none, and everything outside of 1970 to 9999 is cut to it."""
    assert instant(AT) == "2026-03-31T23:33:20Z"
    assert instant(AT + 5) == "2026-03-31T23:33:20.005Z"
    assert instant(-1) == "1970-01-01T00:00:00.000Z"
    assert instant(-1000) == "1970-01-01T00:00:00Z"
    assert instant(1 << 62) == "9999-12-31T23:59:59.999Z"


def test_a_moment_of_any_offset_is_milliseconds_in_utc() -> None:
    """Parts of a millisecond are cut off towards the past, before 1970 too."""
    plus8 = timezone(timedelta(hours=8))
    assert to_ms(datetime(2026, 4, 1, 7, 33, 20, 5_999, tzinfo=plus8)) == AT + 5
    assert to_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_ordinals_count_from_the_same_day() -> None:
    """An ordinal less EPOCH_ORDINAL is the number of days since 1970."""
    assert date(1970, 1, 2).toordinal() - EPOCH_ORDINAL == 1
