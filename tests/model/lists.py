"""Do-not-call lists in the slow model: in force whole, or beside the version before. Must never import contactgate."""

from __future__ import annotations

from datetime import date

from tests.model.calendar import ms
from tests.model.rules import Event


def registries(history: list[Event]) -> list[Event]:
    """Every registry as it is now: the version in force, and what binds beside it because it was not put in force."""
    names = sorted({e["registry"] for e in history if e["type"] == "registry.published"})
    return [_registry(name, [e for e in history if e.get("registry") == name]) for name in names]


def _registry(name: str, published: list[Event]) -> Event:
    force: Event | None = None
    beside: list[Event] = []
    for e in published:
        listed: dict[str, date] = {}
        for entry in e.get("entries") or []:
            if _readable(entry["address"]):
                since = date.fromisoformat(entry["since"]) if entry.get("since") else date.min
                listed[entry["address"]] = min(since, listed.get(entry["address"], since))
        gone = {a for a in e.get("removed") or [] if _readable(a)} - set(listed)
        given = [entry["address"] for entry in e.get("entries") or []] + (e.get("removed") or [])
        bad = len([a for a in given if not _readable(a)])
        version = {"version": e["version"], "as_of": e["as_of"], "listed": listed}
        delta = e["kind"] == "delta"
        older = force is not None and ms(e["as_of"]) < ms(force["as_of"])
        if older and not delta:
            continue
        whole = bad <= e.get("unreadable", 0) and (bad == 0 or bad < len(given))
        if delta:
            whole = whole and force is not None and force["version"] == e["base"] and not older
        before = dict(force["listed"]) if force else {}
        if whole and force and not e.get("shrinks"):
            lost = len(gone & set(before)) if delta else len(before) - len(listed)
            whole = lost <= len(before) / 2
        if not whole:
            beside.append(version)
            continue
        beside = [b for b in beside if b["version"] != e["version"] and (delta or ms(b["as_of"]) > ms(e["as_of"]))]
        kept = {a: day for a, day in before.items() if a not in gone} if delta else {}
        force = {**version, "listed": {**kept, **listed}}
    found = dict(force["listed"]) if force else {}
    for version in beside:
        for address, since in version["listed"].items():
            found[address] = min(since, found.get(address, since))
    return {"registry": name, "in_force": force is not None, "as_of": (force or published[0])["as_of"], "listed": found}


def _readable(address: str) -> bool:
    return address.startswith("+")
