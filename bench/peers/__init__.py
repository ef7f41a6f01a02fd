"""The peers. Each is a program of its own; only `rules` is also imported, as a yardstick."""
