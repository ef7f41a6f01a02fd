"""contactgate: decides, live and provably, whether a person may be contacted.

This module only says which version is installed; it must never import another module of the package, so that every
layer can read the version.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("contactgate")
except PackageNotFoundError:  # running from a source tree that was not installed
    __version__ = "0+unknown"
