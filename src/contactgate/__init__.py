"""contactgate: decides, live and provably, whether a person may be contacted.

This module only holds the version, the one place where it stands; it must never import another module of the package,
so that every layer can read it. The command line, the messages (schemas/) and the settings are public; of the Python
names only `__version__` is.
"""

__all__ = ["__version__"]

__version__ = "0.2.0"
