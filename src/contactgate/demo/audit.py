"""Judges a run from its topics alone: did every promise hold? Must never ask a worker, and never use the core's rules.

Counting is done again here, from the messages and the policy document, so that a fault of the gate cannot excuse
itself; only the hash chain is checked with the gate's own function, which is its definition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from contactgate.core import chain
from contactgate.demo.evidence import Evidence, OptOut, Passed
from contactgate.demo.times import DAY_MS
from contactgate.errors import ChainBroken

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_SHOWN = 3


class Finding(NamedTuple):
    """One promise and whether it held."""

    promise: str
    held: bool
    detail: str


def judge(found: Evidence, policy: dict[str, Any]) -> list[Finding]:
    """Every promise that the topics can show, in the order of the design."""
    return [
        _one_answer(found),
        _no_pass_after_opt_out(found, policy),
        _caps(found, policy),
        _approvals(found),
        _refusals(found),
        _recalls(found, policy),
        _carried(found),
        _chains(found),
        _least_data(found),
    ]


def malformed(found: Evidence, sent: int) -> Finding:
    """Held against what the demonstration knows it sent: that many malformed requests, and no malformed consent."""
    letters = sum(found.dead.values())
    wrong = [f"{letters} requests became dead letters, {sent} were malformed"] if letters != sent else []
    wrong += [f"{found.dead_consents} good consent events became dead letters"] if found.dead_consents else []
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(found.dead_reasons.items()))
    return _finding("malformed messages, and only those, become dead letters", wrong, reasons or "none")


def _one_answer(found: Evidence) -> Finding:
    wrong = [
        f"{place} has {found.decided[place]} decisions and {found.dead[place]} dead letters"
        for place in sorted(found.requests)
        if found.decided[place] + found.dead[place] != 1
    ]
    wrong += [f"{place} was decided but never asked" for place in found.decided.keys() - found.requests.keys()]
    decisions, letters = sum(found.decided.values()), sum(found.dead.values())
    text = f"{len(found.requests):,} request records: {decisions:,} decisions, {letters:,} dead letters"
    return _finding("every request has exactly one decision or dead letter", wrong, text)


def _no_pass_after_opt_out(found: Evidence, policy: dict[str, Any]) -> Finding:
    wrong, skew_ms = [], _skew_ms(policy)
    for passed in found.passed:
        for opt_out in found.opt_outs.get(passed.subject_id, ()):
            if opt_out.appended_ms < passed.requested_ms and _binds(found, passed, opt_out, skew_ms):
                wrong.append(f"{passed.request_id} passed")  # noqa: PERF401 - clearer as a loop
    looked = sum(len(opt_outs) for opt_outs in found.opt_outs.values())
    return _finding("no request that was appended after an opt-out passed it", wrong, f"{looked:,} opt-outs")


def _skew_ms(policy: dict[str, Any]) -> int:
    return _length_ms(policy.get("clock_skew", "10m"))


def _binds(found: Evidence, passed: Passed, opt_out: OptOut, skew_ms: int) -> bool:
    """Whether the opt-out covers the request and nothing the person ever agreed to could lift it."""
    return opt_out.covers(passed.request) and not any(
        opt_out.time_ms < granted_ms and (opt_out.appended_ms < appended_ms or opt_out.time_ms < granted_ms - skew_ms)
        for granted_ms, appended_ms in found.grants.get(passed.subject_id, ())
    )


def _caps(found: Evidence, policy: dict[str, Any]) -> Finding:
    released: dict[str, int] = {}
    for passed in found.passed:
        times = [at for at, outcome in found.outcomes.get(passed.request_id, ()) if outcome == "not_attempted"]
        times += [at for at, _ in found.recalled.get(passed.approval_id, ())]
        if times:
            released[passed.approval_id] = min(times)
    rules = [(f"cap.{rule['name']}", rule["limit"], _window(rule["window"]), rule) for rule in policy.get("caps", ())]
    rules += [(f"gap.{rule['name']}", 1, _sliding(rule["at_least"]), rule) for rule in policy.get("gaps", ())]
    wrong, reached = [], 0
    for name, limit, counts, rule in rules:
        by_scope: dict[tuple[str, ...], list[Passed]] = defaultdict(list)
        for passed in found.passed:
            if _selected(rule, passed.request):
                by_scope[_scope(rule, passed)].append(passed)
        for contacts in by_scope.values():
            contacts.sort(key=lambda passed: passed.decided_ms)
            for index, passed in enumerate(contacts):
                now_ms = passed.decided_ms
                places = sum(
                    counts(earlier.decided_ms, now_ms) and released.get(earlier.approval_id, now_ms + 1) > now_ms
                    for earlier in contacts[:index]
                )
                reached += places + 1 == limit
                if places >= limit:
                    wrong.append(f"{passed.request_id} is number {places + 1} under {name}, which allows {limit}")
    text = f"{len(rules)} caps and gaps counted from decisions and outcomes; their limit was reached {reached:,} times"
    return _finding("caps hold", wrong, text)


def _selected(rule: dict[str, Any], request: dict[str, Any]) -> bool:
    purposes, channels = rule.get("purposes"), rule.get("channels")
    purpose = request["purpose"]
    return (channels is None or request["channel"] in channels) and (
        purposes is None or any(purpose == p or purpose.startswith(p + ".") for p in purposes)
    )


def _scope(rule: dict[str, Any], passed: Passed) -> tuple[str, ...]:
    named = {"campaign": "campaign_id", "matter": "matter_id", "subject": "subject_id"}
    return tuple(str(passed.request.get(named.get(field, field))) for field in sorted(rule["scope"]))


def _length_ms(length: str) -> int:
    number = length.rstrip("dhms")
    return int(number) * _UNITS[length[len(number) :]]


def _sliding(length: str) -> Callable[[int, int], bool]:
    span_ms = _length_ms(length)
    return lambda then_ms, now_ms: now_ms < then_ms + span_ms


def _window(window: dict[str, Any]) -> Callable[[int, int], bool]:
    if "sliding" in window:
        return _sliding(window["sliding"])
    if window.get("calendar") == "day" and window.get("zone") == "UTC":
        return lambda then_ms, now_ms: then_ms // DAY_MS == now_ms // DAY_MS
    raise ValueError(f"the audit cannot count in the window {window}; use sliding, or calendar day in UTC")


def _approvals(found: Evidence) -> Finding:
    wrong = []
    expected: dict[str, str] = {passed.approval_id: passed.request.get("requester", "") for passed in found.passed}
    for approval_id, requester in expected.items():
        if found.approved.get(approval_id) != [requester]:
            wrong.append(f"{approval_id} was sent to {found.approved.get(approval_id, [])}")
    wrong += [f"{approval_id} was sent without a pass" for approval_id in found.approved.keys() - expected.keys()]
    if len(expected) != len(found.passed):
        wrong.append("two passes share an approval")
    for approval_id in found.echoed.keys() | found.repeated.keys():
        again, sent = found.echoed.get(approval_id, 0), found.repeated.get(approval_id, [])
        if sent != [expected.get(approval_id)] * again:
            wrong.append(f"{approval_id} was repeated {len(sent)} times for {again} requests that came again")
    text = (
        f"{len(found.passed):,} passes; {sum(found.echoed.values()):,} requests came again and got their approval again"
    )
    return _finding("every pass has exactly one approval", wrong, text)


def _refusals(found: Evidence) -> Finding:
    missing = found.blocks - found.refused
    wrong = [f"{request_id} was blocked, and {requester} not told" for requester, request_id in sorted(missing)]
    more = sum((found.refused - found.blocks).values())
    if more > sum(found.dead.values()):
        wrong.append(f"{more} refusals without a block or a dead letter")
    wrong += [f"the refusal of {request_id} tells about the person" for request_id in found.told_too_much]
    told = ", ".join(f"{word} {count:,}" for word, count in sorted(found.refusals.items()))
    return _finding("every block is told to its requester, and nothing about the person", wrong, told or "none")


def _recalls(found: Evidence, policy: dict[str, Any]) -> Finding:
    wrong, due, skew_ms = [], 0, _skew_ms(policy)
    for passed in found.passed:
        if found.outcomes.get(passed.request_id):
            continue
        for opt_out in found.opt_outs.get(passed.subject_id, ()):
            open_then = passed.decided_ms < opt_out.appended_ms < passed.valid_until_ms - 2_000
            if open_then and _binds(found, passed, opt_out, skew_ms):
                due += 1
                if not found.recalled.get(passed.approval_id):
                    wrong.append(f"{passed.approval_id} stayed open")
    wrong += [f"{approval_id} recalled twice" for approval_id, times in found.recalled.items() if len(times) > 1]
    wrong += [
        f"{approval_id} recalled, never approved" for approval_id in found.recalled.keys() - found.approved.keys()
    ]
    text = f"{len(found.recalled):,} recalls; {due:,} opt-outs met an approval that stayed unused"
    return _finding("an opt-out recalls the open approvals it reaches", wrong, text)


def _carried(found: Evidence) -> Finding:
    wrong = []
    for partition, copies in found.misplaced:
        if len({origin for _, origin in copies}) != 1 or {place for place, _ in copies} & {partition}:
            wrong.append(f"a record of partition {partition} was carried to {sorted({place for place, _ in copies})}")
    if len(found.misplaced) != len(found.carried):
        wrong.append(f"{len(found.misplaced)} records lay in a wrong partition, {len(found.carried)} were carried")
    text = f"{len(found.misplaced):,} consent events lay there"
    return _finding("what lies in a wrong partition is carried to its own, once", wrong, text)


def _chains(found: Evidence) -> Finding:
    wrong = []
    for partition, values in sorted(found.chains.items()):
        try:
            chain.verify(values)
        except ChainBroken as error:
            wrong.append(f"partition {partition}: {error}")
    total = sum(len(values) for values in found.chains.values())
    return _finding(
        "the audit chain of every partition is whole", wrong, f"{len(found.chains)} chains, {total:,} links"
    )


def _least_data(found: Evidence) -> Finding:
    return _finding("no clear address in any output", found.clear, f"{found.outputs:,} output records searched")


def _finding(promise: str, wrong: list[str], text: str) -> Finding:
    if not wrong:
        return Finding(promise, held=True, detail=text)
    more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    return Finding(promise, held=False, detail=f"{text}; broken: {'; '.join(wrong[:_SHOWN])}{more}")
