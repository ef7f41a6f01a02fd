"""Trying policies on events before they bind anyone: the owner's cases, and what changes between two policies.

Runs the same offline fold that `contactgate decide` runs. Must never touch a broker, and never decide by itself.
"""
