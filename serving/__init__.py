"""Tokens of a release for a service: from tuples to tracks and back, matching, and the constraint of decoding.

Needs NumPy and Arrow only: no Beam, torch or faiss. The names that ``__init__.pyi`` lists are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
