"""Measurements: the same job done by contactgate and by its peers on one broker. Nothing here ships in the package."""
