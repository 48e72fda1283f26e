"""Logit processor of SGLang that keeps a model inside the catalog.

    TRACKTOKENS_RELEASE=/data/store TRACKTOKENS_TOKENIZER=tuned \
        python -m sglang.launch_server --model-path tuned --enable-custom-logit-processor --disable-overlap-schedule

A request names the processor and has parameters, at least an empty object:

    {"custom_logit_processor": CatalogLogitProcessor.to_str(), "sampling_params": {"custom_params": {}}, ...}

SGLang passes a request to a processor with the parameters only. ``to_str`` names the class, so the server must have the
package installed; it is not copied.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint, restrict
from tracktokens.codebooks.numerics.arrays import Ids
from tracktokens.schemas.errors import UsageError
from tracktokens.serving.generation.server_constraint import RELEASE, ServerConstraint, last_ids

if TYPE_CHECKING:
    from torch import Tensor

_logger = logging.getLogger(__name__)

REQUEST = "__req__"
"""Parameter with the request, which SGLang adds."""

CONSTRAINT = "__tracktokens__"
"""Parameter with the constraint of the request, which is kept from step to step."""


class CatalogLogitProcessor(CustomLogitProcessor):
    """Admits only the token tuples of the catalog; see :class:`CatalogConstraint`."""

    def __call__(self, logits: Tensor, custom_param_list: list[dict[str, Any] | None] | None = None) -> Tensor:
        """Set the logits of tokens that may not come next to -inf, in place.

        Args:
            logits: (requests, vocabulary).
            custom_param_list: parameters of each request.

        Raises:
            UsageError: the environment names no release, or a request has no parameters.
            ValueError: a parameter is unknown or not of its type.
        """
        server = _server()
        admitted: dict[int, Ids | None] = {}
        for row, parameters in enumerate(custom_param_list or [None] * len(logits)):
            constraint = _constraint(server, parameters)
            if constraint is not None:
                admitted[row] = _admitted(constraint, _request(parameters))
        restrict(logits, admitted, server.outside)
        return logits


@lru_cache(maxsize=1)
def _server() -> ServerConstraint:
    """Open the release once per process: SGLang makes a processor for each batch."""
    server = ServerConstraint.from_environment()
    if server is None:
        raise UsageError(f"{RELEASE} is not set: start the server with the folder of a release or of a store")
    _check_schedule()
    return server


def _check_schedule() -> None:
    """Refuse the overlapped schedule, in which a step is sampled before the last id is known to the request."""
    try:
        from sglang.srt.runtime_context import get_schedule

        overlapped = not get_schedule().disable_overlap_schedule
    except (ImportError, AttributeError, RuntimeError, LookupError, ValueError) as error:
        _logger.warning("the schedule of this SGLang is not known (%s): use --disable-overlap-schedule", error)
        return
    if overlapped:
        raise UsageError("SGLang's overlapped schedule passes ids too late: start it with --disable-overlap-schedule")


def _request(parameters: Mapping[str, Any] | None) -> Any:
    if parameters is None or REQUEST not in parameters:
        raise UsageError("SGLang passes no request without parameters: give custom_params, at least {}")
    return parameters[REQUEST]


def _constraint(server: ServerConstraint, parameters: dict[str, Any] | None) -> CatalogConstraint | None:
    """Return the constraint of a request, which its parameters keep from step to step."""
    if parameters is None:
        return server.of_request(None)
    if CONSTRAINT not in parameters:
        parameters[CONSTRAINT] = server.of_request(parameters)
    constraint: CatalogConstraint | None = parameters[CONSTRAINT]
    return constraint


def _admitted(constraint: CatalogConstraint, request: Any) -> Ids | None:
    parts = (request.origin_input_ids, request.output_ids)
    ids = last_ids(constraint.window, *parts)
    if constraint.needs_history and constraint.admitted(ids) is not None:
        ids = last_ids(sum(map(len, parts)), *parts)
    return constraint.admitted(ids)
