"""The constraint of decoding in an inference server: one per server, with options per request.

The server's environment names the release, since a plug-in gets no arguments of its own:

``TRACKTOKENS_RELEASE``: local folder of a release, or of a store for its latest release. Without it, requests are not
constrained.

``TRACKTOKENS_TOKENIZER``: folder of the model or its tokenizer, for servers that pass no configuration to a plug-in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.numerics.arrays import Ids
from tracktokens.schemas.errors import UsageError
from tracktokens.serving.catalog_tokens import CatalogTokens
from tracktokens.serving.generation.load_model import check_bundle
from tracktokens.serving.generation.pretrained import WITHOUT_CODE, load_failure

RELEASE, TOKENIZER = "TRACKTOKENS_RELEASE", "TRACKTOKENS_TOKENIZER"
"""Variables of the environment."""

OFF, REPEATS, EXCLUDE = "tracktokens_off", "tracktokens_repeats", "tracktokens_exclude"
"""Arguments of a request."""


@dataclass(frozen=True)
class RequestOptions:
    """Options of the constraint for one request.

    Attributes:
        off: whether it is not constrained.
        repeats: whether a tuple may be written that the conversation has already.
        exclude: ids of tracks that may not be written.
    """

    off: bool = False
    repeats: bool = False
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, arguments: Mapping[str, Any] | None) -> RequestOptions:
        """Read the options out of the arguments of a request; others than ``tracktokens_...`` are ignored.

        Example:
            >>> RequestOptions.of({"tracktokens_exclude": ["t1"], "other": 5})
            RequestOptions(off=False, repeats=False, exclude=('t1',))

        Raises:
            ValueError: an argument is unknown or not of its type.
        """
        given = {name: value for name, value in (arguments or {}).items() if name.startswith("tracktokens_")}
        if unknown := sorted(given.keys() - {OFF, REPEATS, EXCLUDE}):
            raise ValueError(f"{unknown[0]} is not an argument: use {OFF}, {REPEATS} or {EXCLUDE}")
        for name in (OFF, REPEATS):
            if given.get(name, 0) not in (0, 1):
                raise ValueError(f"{name} is {given[name]!r}: give 0 or 1")
        exclude = given.get(EXCLUDE, [])
        if not isinstance(exclude, list | tuple) or not all(isinstance(track_id, str) for track_id in exclude):
            raise ValueError(f"{EXCLUDE} is not a list of track ids")
        return cls(bool(given.get(OFF, 0)), bool(given.get(REPEATS, 0)), tuple(exclude))


class ServerConstraint:
    """The release that a server's model recommends from.

    Attributes:
        window: number of last tokens that decide whether a row is in a track.
        outside: int64, ids that may not come outside of tracks.
    """

    def __init__(self, catalog: CatalogTokens, tokens_to_ids: Mapping[str, int]) -> None:
        """Prepare the constraint of requests without options.

        Raises:
            UsageError: tokens of the release have no id, or the release has no tracks.
        """
        self._catalog = catalog
        self._ids = tokens_to_ids
        self._default = catalog.constraint(tokens_to_ids, repeats=False)
        self.window = self._default.window
        self.outside: Ids = self._default.outside

    @classmethod
    def from_environment(cls, tokenizer: str | None = None, config: Any = None) -> ServerConstraint | None:
        """Open the release that the environment names; None if it names none.

        Args:
            tokenizer: folder of the tokenizer; by default that of the environment.
            config: configuration of the model, whose bundle is checked; by default read from the tokenizer's folder.

        Raises:
            UsageError: the release or the tokenizer does not exist, or the tokenizer lacks tokens.
            InvalidDataError: the model has tokens of another bundle.
        """
        release = os.environ.get(RELEASE)
        if not release:
            return None
        folder = tokenizer or os.environ.get(TOKENIZER)
        if not folder:
            raise UsageError(f"{TOKENIZER} is not set: give the folder of the model")
        from transformers import AutoConfig, AutoTokenizer

        catalog = CatalogTokens.open(release)
        try:
            model_config = AutoConfig.from_pretrained(folder, **WITHOUT_CODE) if config is None else config
            vocabulary = AutoTokenizer.from_pretrained(folder, **WITHOUT_CODE).get_vocab()
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder} has no tokenizer: {load_failure(error)}") from error
        check_bundle(model_config, catalog.bundle_id)
        return cls(catalog, vocabulary)

    def of_request(self, arguments: Mapping[str, Any] | None) -> CatalogConstraint | None:
        """Return the constraint of a request; None for one without.

        Raises:
            ValueError: an argument is unknown or not of its type.
        """
        options = RequestOptions.of(arguments)
        if options.off:
            return None
        if options == RequestOptions():
            return self._default
        known = [self._catalog.codes_of(track_id) for track_id in options.exclude if track_id in self._catalog]
        return self._catalog.constraint(
            self._ids, repeats=options.repeats, exclude=np.array(known, np.int16) if known else None
        )


def last_ids(length: int, *parts: Sequence[int]) -> Ids:
    """Return the last ids of consecutive parts of a row: int64, up to ``length``.

    Example:
        >>> last_ids(3, [1, 2, 3], [4]).tolist()
        [2, 3, 4]
    """
    taken: list[int] = []
    for part in reversed(parts):
        room = length - len(taken)
        taken = [*part[max(0, len(part) - room) :], *taken] if room else taken
    return np.array(taken, np.int64)
