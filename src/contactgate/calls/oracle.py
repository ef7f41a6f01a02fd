"""What a sliding cap allows of a call list, from the dates alone.

Must never use the core: it is what the core is compared with.
"""

from __future__ import annotations

from collections import deque
from datetime import date, timedelta

from contactgate.calls.list import Client, calls_in_order


def allowed(clients: list[Client], cap: int, window: timedelta) -> set[str]:
    """The request ids that at most `cap` passes in every sliding `window` allow, from the dates alone."""
    passing: set[str] = set()
    for client in clients:
        kept: deque[date] = deque()
        for call in calls_in_order([client]):
            while kept and call.day - kept[0] >= window:
                kept.popleft()
            if len(kept) < cap:
                kept.append(call.day)
                passing.add(call.request_id)
    return passing
