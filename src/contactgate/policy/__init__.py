"""Policy documents in, one valid compiled policy out, or all faults at once. `packs/` holds the law as data."""
