"""One check of the doctor: its result, and how an error becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from tracktokens.schemas.errors import TracktokensError

OK, WARNING, ERROR = "ok", "warning", "error"
"""States: nothing to do; a job runs, with less than it could have; a job fails."""


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
        name: what was checked.
        state: one of ``OK``, ``WARNING`` and ``ERROR``.
        remark: what was found, and what to do about it.
    """

    name: str
    state: str
    remark: str

    def to_json(self) -> dict[str, str]:
        """Return the fields."""
        return asdict(self)


Finding = tuple[str, str]
"""State and remark."""


def examine(name: str, look: Callable[[], Finding | str]) -> Check:
    """Run a check. What it cannot do is its result: an error for input and machine, a text for ``OK``."""
    try:
        found = look()
    except (TracktokensError, OSError, ImportError) as error:
        return Check(name, ERROR, str(error))
    state, remark = (OK, found) if isinstance(found, str) else found
    return Check(name, state, remark)
