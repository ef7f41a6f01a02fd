"""The command line: one function a command, no logic. The composition root: clocks, keys and files begin only here."""
