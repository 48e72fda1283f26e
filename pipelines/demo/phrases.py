"""Phrases of the demo's conversations, read from ``data/phrases.json``: requests, answers, occasions."""

from typing import Any

from tracktokens.pipelines.demo.words import read_data

_PHRASES: dict[str, Any] = read_data("phrases")

REQUESTS: dict[str, tuple[str, ...]] = _PHRASES["requests"]
"""First requests, by their subject."""

MORE: tuple[str, ...] = _PHRASES["more"]
"""Requests for more of the same."""

LIKED: tuple[str, ...] = _PHRASES["liked"]
"""Requests for tracks similar to a track that was recommended before."""

ANSWERS: tuple[str, ...] = _PHRASES["answers"]
"""Answers that name their tracks."""

BARE_ANSWERS: tuple[str, ...] = _PHRASES["bare_answers"]
"""Answers without track names; the message lists the tracks in its ``tracks`` field."""

OCCASIONS: dict[str, tuple[str, ...]] = _PHRASES["occasions"]
"""Crowd, as in ``words.CLUSTERS``, to occasions for its music."""
