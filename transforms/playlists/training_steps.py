"""Progress of a training: how many steps it has, and when each is done."""

from collections.abc import Callable

Steps = Callable[[int], Callable[[], None]]
"""Called with the number of steps when a training starts; returns what is called after each step."""


def uncounted(steps: int) -> Callable[[], None]:
    """Count nothing: see :data:`Steps`."""
    return lambda: None
