"""Beam transforms and their pure batch functions.

The names of ``__init__.pyi`` are the public API: the encoder interface for plugins, and readers of a store. They are
imported on first use, so that importing this package loads neither Beam nor torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
