"""Ids that people give: a whole id, its beginning if it is the only one that begins so, or ``latest``."""

from collections.abc import Sequence

from tracktokens.schemas.errors import UsageError

LATEST_ID = "latest"
"""Name of the id in use, for people and scripts."""

SHOWN_IDS = 5


def complete_id(given: str, ids: Sequence[str]) -> str | None:
    """Complete the beginning of an id.

    Args:
        given: an id, or its beginning.
        ids: the ids that exist.

    Returns:
        The id; None where no id begins so.

    Raises:
        UsageError: several ids begin so, and none is exactly this one.

    Example:
        >>> complete_id("20261", ["20261128T1-f1", "20260101T1-a0"])
        '20261128T1-f1'
    """
    if given in ids:
        return given
    found = [name for name in ids if name.startswith(given)]
    if len(found) > 1:
        raise UsageError(f"{given} is the beginning of {show_ids(found)}: give more of the id")
    return found[0] if found else None


def show_ids(ids: Sequence[str]) -> str:
    """Name the first few ids, and count the others.

    Example:
        >>> show_ids(["a", "b"]), show_ids([])
        ('a, b', 'none')
    """
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return f"{', '.join(ids[:SHOWN_IDS])}{more}" or "none"
