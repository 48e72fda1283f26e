"""Phrasings of the tasks that ground the tokens, read from ``data/phrasings.json``.

The validation file asks in words that no training row has, except for playlists, whose validation rows are of playlists
that no training row has.
"""

import json
from collections.abc import Mapping
from importlib.resources import files

Phrasings = Mapping[str, tuple[tuple[str, str], ...]]
"""Split to pairs of a question and an answer, with fields in braces."""


def read_phrasings() -> dict[str, Phrasings]:
    """Read the phrasings of each task."""
    data = files(__package__).joinpath("data", "phrasings.json").read_text(encoding="utf-8")
    return {
        task: {split: tuple((asked, answer) for asked, answer in pairs) for split, pairs in by_split.items()}
        for task, by_split in json.loads(data).items()
    }


PHRASINGS = read_phrasings()
