"""The demonstration: a generated population, the dialers that answer approvals, and the audit of what came out.

A foreign client of the gate like any other: it sees topics only, and must never reach into a worker or its state.
"""
