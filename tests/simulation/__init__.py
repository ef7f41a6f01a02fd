"""Deterministic simulation of the engine: the real partition task against a simulated Kafka log, all from one seed.

`run.simulate(seed)` runs one life of a small cluster with faults and returns its history; `checker.check(history)`
judges it and shares no code with the product; `bugs` holds the seeded bugs that prove the checker; `campaign` runs
many seeds.
"""
