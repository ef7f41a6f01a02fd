"""The checker of the chaos runs, checked: one true story, and a lie about it for every promise."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.checker import check
from tests.chaos.handmade import START_MS, Tale
from tests.chaos.history import CONSENT, CONTROL, DEAD, DECISIONS, OUTCOMES, Record
from tests.chaos.stories import LIES, asked, carried_twice, consented, hanging_output, whole
from tests.chaos.stories_again import LIES as MORE_LIES

CHAOS = Path(__file__).parents[2] / "chaos"
PURE = (
    "history",
    "checker",
    "journal",
    "letters",
    "relayed",
    "reading",
    "rules",
    "verdict",
    "walk",
    "handmade",
    "outputs",
    "refusals",
    "repeats",
    "stories",
    "stories_again",
)


def test_a_second_copy_of_a_carried_record_changes_nothing() -> None:
    """A pump that repeated itself is no lie."""
    verdict = check(carried_twice().history())
    assert [str(finding) for finding in verdict.findings if not finding.held] == []


# --- true stories -------------------------------------------------------------------------------------------------


def test_a_true_story_holds() -> None:
    """Caps, repetitions, recalls, pauses, suppressions and dead letters that are right break no promise."""
    verdict = check(whole().history())
    assert verdict.broken == (), [f for f in verdict.findings if not f.held]


def test_a_story_in_which_too_little_happened_is_invalid() -> None:
    """A run that never saw a situation it must see is invalid, not green."""
    verdict = check(consented().history())
    assert verdict.state == "invalid"
    assert "requests" in verdict.unreached


def test_the_widest_reading_binds_and_is_a_dead_letter() -> None:
    """An opt-out with two types is a dead letter and stops everything; the checker expects exactly that."""
    tale = consented()
    tale.put(CONSENT, b"subject-1", b'{"type":"consent.granted","type":"consent.withdrawn","subject_id":"subject-1"}')
    tale.letter(CONSENT, 1, "json.duplicate_key")
    tale.ask("q")
    assert check(tale.wait(10).commit("consent.withdrawn").history()).broken == ()


def test_an_erasure_forgets_and_still_stops() -> None:
    """After an erasure the caps begin again, and only a newer consent opens."""
    tale = asked(consented(), 3).commit("pass", "pass", "pass").wait(25_000)
    tale.tell(CONSENT, "subject.erased")
    tale.ask("erased")
    tale.wait(10).commit("consent.missing,subject.erased").wait(10)
    tale.grant()
    assert check(asked(tale, 1, "new").commit("pass").history()).broken == ()


def test_a_consent_that_is_much_newer_ends_an_opt_out_that_comes_after_it() -> None:
    """An opt-out that comes after a consent wins if it is stamped 30 s before it at most, and else loses."""
    for behind_ms, verdict in ((30_000, "consent.withdrawn"), (30_001, "pass")):
        tale = consented().wait(5_000)
        tale.withdraw(at=START_MS - behind_ms)
        tale.ask("q")
        assert check(tale.wait(10).commit(verdict).history()).broken == ()


def test_what_is_sent_again_does_not_arrive_again() -> None:
    """The same opt-out once more, after a consent that is newer, changes nothing."""
    tale = consented()
    tale.withdraw()
    tale.wait(10).grant()
    tale.wait(10).topics[CONSENT].append(tale.topics[CONSENT][1])
    history = asked(tale, 1).commit("pass").history()
    assert "I1b" not in check(history).broken
    assert not {"I1", "I10"}.intersection(check(history).broken)


def test_a_flag_ends_where_somebody_removes_it() -> None:
    """`flags_removed` ends what a list without the flag does not, and an unknown flag stops until a newer list."""
    tale = consented()
    tale.tell(CONSENT, "subject.updated", flags=["minor"])
    asked(tale, 1, "minor").commit("subject.minor").wait(10)
    tale.tell(CONSENT, "subject.updated", flags_removed=["minor"], by="desk")
    tale.letter(CONSENT, tale.tell(CONSENT, "subject.updated", flags=["tourist"]), "scope.unknown_word")
    asked(tale, 1, "tourist").commit("subject.unknown_flag").wait(10)
    tale.tell(CONSENT, "subject.updated", flags=[])
    assert check(asked(tale, 1).commit("pass").history()).broken == ()


def test_what_was_blocked_or_given_back_is_decided_again() -> None:
    """The same request after a block and after `not_attempted` is one that nobody asked before."""
    tale = Tale()
    asked(tale, 1).commit("consent.missing").wait(10)
    tale.grant()
    asked(tale, 1).commit("pass").wait(10)
    tale.tell(OUTCOMES, "contact.outcome", request_id="q0", outcome="not_attempted")
    verdict = check(asked(tale, 1).commit("consent.missing").history())
    assert verdict.broken == ("I1b",)


def test_outcomes_give_places_back() -> None:
    """A contact that was not attempted takes no place of a cap."""
    tale = asked(consented(), 3).commit("pass", "pass", "pass").wait(1_000)
    tale.tell(OUTCOMES, "contact.outcome", request_id="q0", outcome="not_attempted")
    assert check(asked(tale, 1, "again").commit("pass").history()).broken == ()


@pytest.mark.parametrize(
    ("after_ms", "recalled", "state"),
    [(19_999, True, "held"), (19_999, False, "broken"), (20_000, False, "held"), (20_000, True, "broken")],
)
def test_an_opt_out_recalls_what_was_open_when_it_arrived(after_ms: int, recalled: bool, state: str) -> None:
    """An approval of 20 s is recalled for an opt-out of its last millisecond, and for none after, however late both
    are read: `now` of an event is its record's timestamp (rule 35), not the time of the transaction."""
    tale = asked(consented(), 1).commit("pass").wait(after_ms)
    tale.withdraw()
    tale.wait(30_000).commit(recalls={"q0": "withdrawn"} if recalled else {})
    assert check(tale.history()).broken == (() if state == "held" else ("I22",))


def test_an_outcome_read_after_a_later_opt_out_recalls_nothing() -> None:
    """Of one transaction opt-outs come before outcomes. An approval that had ended when the opt-out arrived stays as it
    was, though an outcome of another from before its end withdraws once more what is withdrawn already."""
    tale = asked(consented(), 2).commit("pass", "pass").wait(1_000)
    tale.tell(OUTCOMES, "contact.outcome", request_id="q0", outcome="unsubscribed")
    tale.wait(20_000).withdraw()
    assert check(tale.wait(10).commit().history()).broken == ()


def test_a_recall_is_held_against_the_event_that_explains_it() -> None:
    """In a pause, something that says nothing new comes before the opt-out: that recalls, and the word is its own."""
    for word, broken in (("withdrawn", ()), ("paused", ()), ("listed", ("I22",))):
        tale = asked(consented(), 1).commit("pass").wait(1_000)
        tale.tell(CONTROL, "pause.set", key="pause:p", pause_id="p", scope={})
        tale.withdraw(channels=["mail"])
        tale.withdraw()
        assert check(tale.wait(10).commit(recalls={"q0": word}).history()).broken == broken


def test_an_outcome_that_withdraws_recalls_the_others() -> None:
    """An unsubscription told about one approval recalls the other, which is of the same kind and open."""
    for recalls, broken in (({"q1": "withdrawn"}, ()), ({}, ("I22",))):
        tale = asked(consented(), 2).commit("pass", "pass").wait(1_000)
        tale.tell(OUTCOMES, "contact.outcome", request_id="q0", outcome="unsubscribed")
        assert check(tale.wait(30_000).commit(recalls=recalls).history()).broken == broken


ALL = (*LIES, *MORE_LIES)


@pytest.mark.parametrize(("promise", "lie"), ALL, ids=[f"{promise}-{lie.__name__}" for promise, lie in ALL])
def test_a_lie_is_found_and_named(promise: str, lie: Callable[[], Tale]) -> None:
    """A history that breaks a promise is red, and that promise is among those named."""
    history = lie().history()
    if lie is hanging_output:
        history.index["topics"][DECISIONS]["0"] = {"end": 9, "last_stable": 5}
    verdict = check(history)
    assert promise in verdict.broken
    assert verdict.state == "red"


def test_one_fault_is_one_finding() -> None:
    """A decision that is gone is not held against all that follow it."""
    tale = asked(consented(), 3).commit("pass", "", "pass")
    verdict = check(tale.history())
    assert [f.detail.split()[0] for f in verdict.findings if f.name == "I6"] == ["1"]


def test_every_promise_has_a_lie() -> None:
    """No promise is checked by code that no test has seen fail."""
    assert {finding.name for finding in check(consented().history()).findings} == {promise for promise, _ in ALL}


def test_the_checker_shares_nothing_with_the_service() -> None:
    """The modules that judge import neither contactgate nor anything of the harness that does."""
    ours = {f"tests.chaos.{name}" for name in PURE}
    for name in PURE:
        tree = ast.parse((CHAOS / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for imported in names:
                assert imported.partition(".")[0] != "contactgate", name
                assert not imported.startswith("tests") or imported in ours, f"{name} imports {imported}"


def test_a_history_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """What a recorder wrote, and what a dump wrote, is what `load` gives; a torn last line is left out."""
    from tests.chaos.history import Recorder, load, read_records, write_records

    with Recorder(tmp_path) as recorder:
        recorder.invoke(1, CONSENT, 0, 2, 7, txn="t")
        recorder.ok(1, 40)
        recorder.fault("worker.kill", "w1", "instant", 3, partitions=[0])
        recorder.counters(fenced=2)
        recorder.counters(fenced=1)
        recorder.meta(seed=5)
    with (tmp_path / "workload.jsonl").open("ab") as file:
        file.write(b'{"op":"inv')
    records = [Record(3, 4, None, b"x", (("hx", b"1.0"),)), Record(5, 6, b"k", None)]
    with (tmp_path / "topics" / f"{DEAD}.0").open("wb") as file:
        assert write_records(file, records) == 2
    found = load(tmp_path)
    assert [line["op"] for line in found.workload] == ["invoke", "ok"]
    assert found.faults[0]["partitions"] == [0]
    assert (found.counters, found.meta) == ({"fenced": 3}, {"seed": 5})
    assert list(read_records(tmp_path / "topics" / f"{DEAD}.0")) == records
    assert found.records(DEAD, 0) == records
    assert json.loads((tmp_path / "counters.json").read_bytes()) == {"fenced": 3}
