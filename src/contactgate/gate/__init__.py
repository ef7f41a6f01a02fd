"""The synchronous heart, shared by the live engine and the offline fold: records in, records out, state in between.

No I/O, no clock, no waiting; the caller owns order, storage and commit.
"""

from contactgate.gate.feed import WorldFeed
from contactgate.gate.partition import Gate
from contactgate.gate.records import DeadLetters, Out, Position, Record, States, murmur2

__all__ = ["DeadLetters", "Gate", "Out", "Position", "Record", "States", "WorldFeed", "murmur2"]
