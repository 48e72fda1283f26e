"""Beam jobs and the command line that runs them.

The names of ``__init__.pyi`` are the public API. Each is imported when it is first used, so that importing this package
loads neither Beam nor a model library.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
