"""Frozen value types: events, requests, decisions, the world and the subject's state. No I/O, no clock, no rules."""
