"""Fuzz targets for every decoder, and the coverage-guided runner: `make fuzz SECONDS=n`."""
