"""Stories for the tests of the checker: `whole` is true in every respect, each of `LIES` breaks a promise."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.handmade import Tale
from tests.chaos.history import CHANGELOG, CONSENT, CONTROL, DECISIONS, RELAY, REQUESTS, SUPPRESSIONS, Record


def consented() -> Tale:
    """A consent, applied."""
    tale = Tale()
    tale.grant()
    return tale.wait(1_000).commit().wait(1_000)


def asked(tale: Tale, count: int, prefix: str = "q") -> Tale:
    """Some requests."""
    for number in range(count):
        tale.ask(f"{prefix}{number}")
    return tale.wait(10)


def whole() -> Tale:
    """Everything that can happen, and is right."""
    tale = asked(consented(), 3).commit("pass", "pass", "pass")
    tale.free_ms = tale.now_ms + 45_000
    asked(tale.wait(1_000), 1, "full").commit("cap.voice")
    tale.ask("q0")
    tale.wait(10).commit("again pass")
    tale.withdraw()
    tale.ask("out")
    tale.wait(10).commit("consent.withdrawn", recalls={f"q{n}": "withdrawn" for n in range(3)})
    tale.ask("q1")
    tale.wait(10).commit("again request.answered,consent.withdrawn")
    tale.ask("out")
    tale.ask("q2", purpose="marketing.cards")
    tale.wait(10).commit("consent.withdrawn", "request.conflict/`purpose` was different")
    tale.put(REQUESTS, b"subject-1", b"{")
    tale.letter(REQUESTS, len(tale.topics[REQUESTS]) - 1, "json.malformed")
    tale.wait(10).commit()
    tale.wait(60_000).grant()
    tale.ask("later")
    tale.wait(10).commit("pass")
    tale.tell(CONTROL, "pause.set", key="pause:p", pause_id="p", scope={})
    tale.ask("paused")
    tale.wait(10).commit("pause.p", review=b"subject-9", recalls={"later": "paused"})
    tale.tell(CONTROL, "pause.lifted", key="pause:p", pause_id="p", by="ops")
    tale.tell(SUPPRESSIONS, "address.suppressed", key="a1", address="+12022000001")
    tale.ask("stopped")
    for number, address in enumerate(("tel:+1-202-200-0001", "\uff0b\uff11 202.200.0001", "0012022000001")):
        tale.ask(f"spelled{number}", address=address)
    tale.ask("written", channel="email", address="someone@canary.example")
    return tale.wait(10).commit(*4 * ("address.suppressed",), "pass")


# --- lies ---------------------------------------------------------------------------------------------------------


def passed_after_opt_out() -> Tale:
    """The request was decided as if there had been no opt-out, though its position covers it."""
    tale = consented()
    tale.withdraw()
    tale.ask("q")
    return tale.wait(10).commit("pass")


def passed_below_the_barrier() -> Tale:
    """The opt-out was acknowledged before the request was sent, and the decision does not know it."""
    tale = consented()
    tale.withdraw()
    tale.ask("q")
    return tale.wait(10).commit("pass", consent=1)


def passed_in_a_pause() -> Tale:
    """Everything was paused."""
    tale = consented()
    tale.tell(CONTROL, "pause.set", key="pause:p", pause_id="p", scope={})
    tale.ask("q")
    return tale.wait(10).commit("pass")


def echo_passed_after_opt_out() -> Tale:
    """A repetition answered by its first pass, though an opt-out came between."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.withdraw()
    tale.ask("q0")
    return tale.wait(10).commit("again pass", recalls={"q0": "withdrawn"})


def always_blocked() -> Tale:
    """A service that blocks whatever it is asked."""
    return asked(consented(), 1).commit("consent.missing")


def one_too_many() -> Tale:
    """A fourth call within the window."""
    return asked(consented(), 4).commit("pass", "pass", "pass", "pass")


def one_too_few() -> Tale:
    """The third call was blocked by the cap."""
    return asked(consented(), 3).commit("pass", "pass", "cap.voice")


def left_the_window() -> Tale:
    """The cap counted a contact that left its window to the millisecond."""
    tale = asked(consented(), 3).commit("pass", "pass", "pass")
    tale.wait(44_990)
    return asked(tale, 1, "next").commit("cap.voice")


def decided_twice() -> Tale:
    """Two decisions of one request."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.decide(tale.topics[REQUESTS][0], "cap.voice")
    return tale.commit()


def repetition_got_another_answer() -> Tale:
    """The same request id was decided as if it were new."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.ask("q0")
    return tale.wait(10).commit("pass")


def _relayed(tale: Tale, times: int) -> Tale:
    """An opt-out that lay in another partition is on the relay, and was appended here so often."""
    value = tale.topics[CONSENT][0].value or b""
    value = value.replace(b"consent.granted", b"consent.withdrawn").replace(b'"e1"', b'"e-carried"')
    given = (("cg-target", b"consent"), ("cg-origin", b"sealed"))
    tale.topics[RELAY] = [Record(0, tale.now_ms, b"subject-1", value, given)]
    for _ in range(times):
        tale.topics[CONSENT].append(Record(len(tale.topics[CONSENT]), tale.now_ms, b"subject-1", value, given[1:]))
    return tale


def carried_twice() -> Tale:
    """True: a second copy of what was carried changes nothing, not even after a newer consent."""
    tale = _relayed(consented(), 1).commit()
    tale.wait(1_000).grant()
    _relayed(tale, 1)
    tale.ask("q")
    return tale.wait(10).commit("pass")


def carried_and_gone() -> Tale:
    """What was put on the relay never came to the partition that owns its key."""
    return _relayed(consented(), 0).commit()


def carried_from_nowhere() -> Tale:
    """A record says that it was carried, and was never on the relay."""
    tale = _relayed(consented(), 1)
    tale.topics[RELAY].clear()
    return tale.commit()


def carried_and_passed_over() -> Tale:
    """An opt-out was carried and counts for nothing."""
    tale = _relayed(consented(), 1).commit()
    tale.ask("q")
    return tale.wait(10).commit("pass")


def acknowledged_and_gone() -> Tale:
    """The broker acknowledged a consent that is not in the log."""
    tale = consented()
    tale.withdraw()
    tale.topics[CONSENT].pop()
    return tale.commit()


def from_nowhere() -> Tale:
    """A record that nobody sent."""
    tale = consented()
    tale.topics[CONSENT].append(Record(1, tale.now_ms, b"subject-1", tale.topics[CONSENT][0].value))
    return tale.commit()


def aborted_and_there() -> Tale:
    """Records of an aborted transaction are read."""
    tale = consented()
    tale.put(CONSENT, b"subject-1", tale.topics[CONSENT][0].value, txn="t/0")
    for state in ("begin", "aborted"):
        tale.journal.append({"op": "txn", "txn": "t/0", "state": state, "mono_ns": 0, "wall_ms": 0})
    return tale.commit()


def decision_without_request() -> Tale:
    """A decision of a request that no transaction covers."""
    tale = consented()
    offset = tale.ask("q")
    tale.decide(tale.topics[REQUESTS][offset], "pass")
    tale.topics[REQUESTS].pop()
    tale.journal = tale.journal[:-2]
    return tale.commit()


def skipped() -> Tale:
    """A request covered by a transaction got no decision."""
    return asked(consented(), 2).commit("pass", "")


def bad_record_without_letter() -> Tale:
    """A malformed record vanished."""
    tale = consented()
    tale.put(REQUESTS, b"subject-1", b"{")
    return tale.commit()


def good_record_with_letter() -> Tale:
    """A good opt-out was put aside."""
    tale = consented()
    tale.withdraw()
    tale.letter(CONSENT, 1, "field.missing")
    return tale.commit()


def offsets_elsewhere() -> Tale:
    """The group's positions were committed without the transaction that covers them."""
    tale = consented()
    tale.committed[CONSENT]["0"] = 0
    return tale


def outputs_without_meta() -> Tale:
    """Decisions were committed and the changelog record of their transaction was not."""
    tale = asked(consented(), 1).commit("pass")
    tale.topics[CHANGELOG].pop()
    return tale


def hanging_output() -> Tale:
    """An output transaction never ended."""
    return asked(consented(), 1).commit("pass")


def letter_of_other_bytes() -> Tale:
    """The dead letter does not hold the record."""
    tale = consented()
    tale.put(REQUESTS, b"subject-1", b"{")
    tale.letter(REQUESTS, 0, "json.malformed", value=b"}")
    return tale.commit()


def letter_with_another_reason() -> Tale:
    """The dead letter gives a reason that is not the right one."""
    tale = consented()
    tale.put(REQUESTS, b"subject-1", b"{")
    tale.letter(REQUESTS, 0, "type.missing")
    return tale.commit()


def out_of_order() -> Tale:
    """The later request was decided first."""
    tale = asked(consented(), 2)
    tale.meta["request"] = 2
    tale.meta["consent"] = 1
    for offset in (1, 0):
        tale.decide(tale.topics[REQUESTS][offset], "pass")
    tale.meta["request"] = 0
    return tale.commit()


def other_end() -> Tale:
    """The approval is valid longer than the policy lets it be."""
    tale = asked(consented(), 1)
    tale.passes["until ap-q0"] = "2030-01-01T00:00:00.000Z"
    return tale.commit("pass")


def other_next() -> Tale:
    """The cap says that it ends a millisecond later than it does."""
    tale = asked(consented(), 3).commit("pass", "pass", "pass")
    tale.free_ms = tale.now_ms + 45_001
    return asked(tale.wait(1_000), 1, "full").commit("cap.voice")


def edited() -> Tale:
    """A decision was changed in the log."""
    tale = asked(consented(), 2).commit("pass", "pass")
    return tale.edit(DECISIONS, 0, lambda value: value.replace(b'"channel":"voice"', b'"channel":"email"'))


def cut() -> Tale:
    """A decision was taken out of the chain."""
    tale = asked(consented(), 2).commit("pass", "pass")
    del tale.topics[DECISIONS][0]
    return tale


def went_back() -> Tale:
    """A worker that was replaced committed once more, from where it stood."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.grant()
    tale.commit()
    return tale.wait(10).commit(consent=1)


def forgotten() -> Tale:
    """The changelog lost a subject."""
    tale = asked(consented(), 1).commit("pass")
    tale.topics[CHANGELOG] = [r for r in tale.topics[CHANGELOG] if r.key != b"subject-1"]
    return tale


def state_not_written() -> Tale:
    """A transaction decided about a subject and did not write its state; an older one is there."""
    tale = asked(consented(), 1).commit("pass")
    states = [at for at, record in enumerate(tale.topics[CHANGELOG]) if record.key == b"subject-1"]
    del tale.topics[CHANGELOG][states[-1]]
    return tale


def state_of_another_time() -> Tale:
    """The state that was written knows nothing of the approval that was given with it."""
    tale = asked(consented(), 1).commit("pass")
    return tale.edit(CHANGELOG, -2, lambda value: value[:1] + bytes(6) + value[7:])


def other_head() -> Tale:
    """The changelog's head is not the chain's."""
    tale = asked(consented(), 1).commit("pass")
    return tale.edit(CHANGELOG, -1, lambda value: value.replace(b'"prev": "sha256:', b'"prev": "sha256:0'))


def revived() -> Tale:
    """A consent that came late and is older than the opt-out counted."""
    tale = consented()
    tale.withdraw()
    tale.grant(at=tale.now_ms - 60_000)
    tale.ask("q")
    return tale.wait(10).commit("pass")


def clear_address() -> Tale:
    """An address stands in the changelog."""
    tale = consented()
    tale.topics[CHANGELOG].append(Record(99, tale.now_ms, b"subject-1", b"\x01\0\0\0\0\0\0+12022000001"))
    return tale.commit()


def coded_address() -> Tale:
    """An e-mail address stands in the changelog in base64."""
    tale = consented()
    coded = b"cGVyc29uLjFAY2FuYXJ5LmV4YW1wbGU="
    tale.topics[CHANGELOG].append(Record(99, tale.now_ms, b"subject-1", b"\x01\0\0\0\0\0\0" + coded))
    return tale.commit()


def passed_after_erasure() -> Tale:
    """An erasure took the opt-out away, and somebody passed."""
    tale = consented()
    tale.withdraw()
    tale.tell(CONSENT, "subject.erased")
    tale.ask("q")
    return tale.wait(10).commit("pass")


def passed_in_another_spelling() -> Tale:
    """The number was suppressed, and somebody wrote it in another way."""
    tale = consented()
    tale.tell(SUPPRESSIONS, "address.suppressed", key="a1", address="+12022000001")
    tale.ask("q", address="+1 (202) 200-0001")
    return tale.wait(10).commit("pass")


def undecided() -> Tale:
    """The run ended with a request that nobody decided."""
    tale = consented().commit()
    tale.ask("q")
    return tale


def no_approval() -> Tale:
    """A pass whose approval was never sent."""
    tale = asked(consented(), 1).commit("pass")
    tale.topics["approvals.bank"].clear()
    return tale


def chatty_approval() -> Tale:
    """An approval that tells the vendor more than the design allows."""
    tale = asked(consented(), 1).commit("pass")
    return tale.edit("approvals.bank", 0, lambda v: v[:-1] + b',"purpose":"marketing.loans"}')


def approval_without_pass() -> Tale:
    """An approval that no decision gave."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    one = tale.topics["approvals.bank"][0]
    value = (one.value or b"").replace(b"ap-q0", b"ap-x")
    tale.topics["approvals.bank"].append(Record(1, tale.now_ms, one.key, value))
    return tale


def token_changed() -> Tale:
    """The vendor got two tokens for one subject."""
    tale = asked(consented(), 2).commit("pass", "pass")
    return tale.edit("approvals.bank", 1, lambda value: value.replace(b"s1.x", b"s1.y"))


def subject_in_metrics() -> Tale:
    """The metrics name a person."""
    tale = consented()
    tale.topics["ops-metrics"] = [Record(0, tale.now_ms, None, b'{"slowest":"subject-1"}')]
    return tale


def not_recalled() -> Tale:
    """An opt-out met an open approval, and the dialer was not told."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.withdraw()
    return tale.commit()


def recalled_for_nothing() -> Tale:
    """An approval was recalled though nothing forbids it."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    return tale.commit(recalls={"q0": "withdrawn"})


def recalled_with_another_word() -> Tale:
    """The recall gives a reason that is not the right one."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.withdraw()
    return tale.commit(recalls={"q0": "suppressed"})


def never_reviewed() -> Tale:
    """A suppression met an open approval, and nobody looked for much too long."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.tell(SUPPRESSIONS, "address.suppressed", key="a1", address="+12022000001")
    for _ in range(60):
        tale.wait(300).commit()
    return tale


LIES: list[tuple[str, Callable[[], Tale]]] = [
    ("I1", passed_after_opt_out),
    ("I1", passed_below_the_barrier),
    ("I1", passed_in_a_pause),
    ("I1", echo_passed_after_opt_out),
    ("I1b", always_blocked),
    ("I2", one_too_many),
    ("I2b", one_too_few),
    ("I2b", left_the_window),
    ("I3", decided_twice),
    ("I3", repetition_got_another_answer),
    ("I4", acknowledged_and_gone),
    ("I4", carried_and_gone),
    ("I5", carried_from_nowhere),
    ("I10", carried_and_passed_over),
    ("I5", from_nowhere),
    ("I5", aborted_and_there),
    ("I5", decision_without_request),
    ("I6", skipped),
    ("I6", bad_record_without_letter),
    ("I6", good_record_with_letter),
    ("I7", offsets_elsewhere),
    ("I7", hanging_output),
    ("I5", outputs_without_meta),
    ("I8", letter_of_other_bytes),
    ("I8", letter_with_another_reason),
    ("I9", out_of_order),
    ("I10", other_end),
    ("I10", other_next),
    ("I10", passed_after_opt_out),
    ("I11", edited),
    ("I11", cut),
    ("I12", passed_below_the_barrier),
    ("I13", went_back),
    ("I14", forgotten),
    ("I14", state_not_written),
    ("I14", state_of_another_time),
    ("I14", other_head),
    ("I14", outputs_without_meta),
    ("I15", revived),
    ("I16", clear_address),
    ("I16", coded_address),
    ("I17", passed_after_erasure),
    ("I18", passed_in_another_spelling),
    ("I20", undecided),
    ("I21", no_approval),
    ("I21", chatty_approval),
    ("I21", approval_without_pass),
    ("I21", token_changed),
    ("I16", subject_in_metrics),
    ("I22", not_recalled),
    ("I22", recalled_for_nothing),
    ("I22", recalled_with_another_word),
    ("I22", never_reviewed),
]
