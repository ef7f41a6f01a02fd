"""A bank's own call list put before the gate, and what a cap allows of it by its dates alone.

Reads the list, makes requests of it, and counts verdicts. What is compared with the core must never use the core.
"""
