"""The synchronous heart, shared by the live engine and the offline fold: records in, records out, state in between.

No I/O, no clock, no waiting; the caller owns order, storage and commit.
"""

from contactgate.gate.gate import Gate
from contactgate.gate.letters import DeadLetters
from contactgate.gate.world import WorldFeed

__all__ = ["DeadLetters", "Gate", "WorldFeed"]
