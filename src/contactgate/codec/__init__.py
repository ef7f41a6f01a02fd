"""Bytes <-> model: the only package that knows JSON on the wire, the layout of states, tokens and seals."""
