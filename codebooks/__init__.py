"""The numeric core: fit, assign and measure codebooks, write and read their tokens, match and constrain them.

Arrays in, arrays out; no Beam, no files. The names that ``__init__.pyi`` lists are imported on first use, for example
``from tracktokens.codebooks import TokenIndex``. The function :func:`assign.assign` shares its name with its module, so
import it from there: ``from tracktokens.codebooks.assign import assign``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
