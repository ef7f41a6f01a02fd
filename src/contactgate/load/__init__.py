"""Measuring one worker under load: a generator at a fixed rate, and readers in processes of their own.

Serves `contactgate dev load` and the benchmark. Must never be imported by what runs in production.
"""
