"""The command line: one function a command, no logic. The composition root: only here do clocks, keys and files begin."""
