"""The life of one partition: opening, the order barrier, transactions and replay, as a state machine without I/O.

What needs the outside is an effect that somebody else carries out. Must never import asyncio, a client, a store or a
clock, not even indirectly.
"""
