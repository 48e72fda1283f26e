"""Settings of the fuzz tests: a fixed seed in ``make test``; ``make fuzz`` draws others and can replay one."""

import logging
import os

from hypothesis import HealthCheck, Phase, settings

_COMMON = {
    "deadline": None,  # a whole job takes seconds
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "database": None,
}
_FOUND = (Phase.explicit, Phase.generate)  # to shrink an example of whole jobs takes minutes
settings.register_profile("lane", derandomize=True, phases=_FOUND, **_COMMON)
settings.register_profile("explore", phases=_FOUND, **_COMMON)
settings.register_profile("shrink", phases=(*_FOUND, Phase.shrink), **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lane"))
logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs the error of a step once more, many times
