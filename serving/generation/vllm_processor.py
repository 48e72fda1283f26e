"""Logits processor of vLLM that keeps a model inside the catalog, for both of its model runners.

    TRACKTOKENS_RELEASE=/data/store vllm serve tuned \
        --logits-processors tracktokens.serving.generation.vllm_processor:CatalogLogitsProcessor

It implements the interface of the V1 runner (``vllm.v1.sample.logits_processor``) and that of Model Runner V2
(``vllm.v1.worker.gpu.sample.logits_processor``), whose methods differ by their arguments: vLLM loads it by one name and
chooses the runner later. Without ``TRACKTOKENS_RELEASE`` it does nothing, since installed plug-ins are always loaded.

In the V1 runner with asynchronous scheduling, vLLM passes the written ids only to processors that the option names, not
to those that are merely installed (its issue 52461); this is checked at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vllm.v1.sample.logits_processor import LogitsProcessor

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint, restrict
from tracktokens.codebooks.numerics.arrays import Ids
from tracktokens.schemas.errors import UsageError
from tracktokens.serving.generation.server_constraint import RequestOptions, ServerConstraint, last_ids

try:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as RunnerV2Processor
except ImportError:  # vLLM before Model Runner V2 had processors
    RunnerV2Processor = object

if TYPE_CHECKING:
    from torch import Tensor

NAME = "tracktokens.serving.generation.vllm_processor:CatalogLogitsProcessor"
"""Name for ``--logits-processors``."""

PLACEHOLDER = -1
"""Id that vLLM writes in place of one that it has not copied from the device."""


@dataclass
class _Request:
    """A request: its constraint, and in the V1 runner its prompt and the list that vLLM appends written ids to."""

    constraint: CatalogConstraint
    prompt: Sequence[int] = ()
    output: Sequence[int] = ()


class CatalogLogitsProcessor(LogitsProcessor, RunnerV2Processor):
    """Admits only the token tuples of the catalog; see :class:`CatalogConstraint`."""

    def __init__(self, vllm_config: Any, state: Any, is_pin_memory: bool | None = None) -> None:
        """Open the release.

        Args:
            vllm_config: configuration of the server.
            state: the device in the V1 runner, the state of the requests in V2.
            is_pin_memory: passed by the V1 runner only.

        Raises:
            UsageError: the release or the tokenizer does not exist, they do not fit, or written ids are not passed.
            InvalidDataError: the model has tokens of another bundle.
        """
        model = vllm_config.model_config
        self._server = ServerConstraint.from_environment(model.tokenizer, model.hf_config)
        self._requests: dict[int, _Request] = {}  # by row in V1, by slot in V2
        self._state: Any = state if is_pin_memory is None else None
        if self._server is not None and self._state is None:
            _check_ids_are_passed(vllm_config)

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise a ValueError for wrong arguments of a request."""
        RequestOptions.of(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """Return False: it changes which token is the most probable."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow the changes of the batch: requests that were removed, added and moved, in this order (V1)."""
        if batch_update is None or self._server is None:
            return
        for row in batch_update.removed:
            self._requests.pop(row, None)
        for row, params, prompt, output in batch_update.added:
            self._put(row, params, prompt or (), output)
        for source, target, direction in batch_update.moved:
            moved = self._requests.pop(source, None)
            other = self._requests.pop(target, None)
            for row, request in ((target, moved), (source, other if direction.name == "SWAP" else None)):
                if request is not None:
                    self._requests[row] = request

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Keep the constraint of a request, and return whether it has one (V2)."""
        return self._server is not None and self._put(req_idx, sampling_params)

    def apply(self, logits: Tensor, ctx: Any = None) -> Tensor:
        """Set the logits of tokens that may not come next to -inf, in place."""
        if self._server is not None and self._requests:
            admitted = self._admitted_v1() if ctx is None else self._admitted_v2(ctx)
            restrict(logits, admitted, self._server.outside)
        return logits

    def _put(self, key: int, params: Any, prompt: Sequence[int] = (), output: Sequence[int] = ()) -> bool:
        constraint = self._server.of_request(params.extra_args) if self._server is not None else None
        self._requests.pop(key, None)
        if constraint is not None:
            self._requests[key] = _Request(constraint, prompt, output)
        return constraint is not None

    def _admitted_v1(self) -> dict[int, Ids | None]:
        return {row: self._admitted(request) for row, request in self._requests.items()}

    def _admitted(self, request: _Request) -> Ids | None:
        constraint = request.constraint
        ids = last_ids(constraint.window, request.prompt, request.output)
        if PLACEHOLDER in ids:
            raise UsageError(_remedy())
        if constraint.needs_history and constraint.admitted(ids) is not None:
            ids = last_ids(len(request.prompt) + len(request.output), request.prompt, request.output)
        return constraint.admitted(ids)

    def _admitted_v2(self, ctx: Any) -> dict[int, Ids | None]:
        """Read the last ids of each row from the device: written ones, and drafts of speculative decoding."""
        slots = ctx.expanded_idx_mapping.tolist()
        admitted: dict[int, Ids | None] = {}
        ends, drafts, inputs = (part.tolist() for part in (ctx.pos, ctx.expanded_local_pos, ctx.input_ids))
        for row, slot in enumerate(slots):
            request = self._requests.get(slot)
            if request is None:
                continue
            constraint, end, count = request.constraint, ends[row] + 1, drafts[row]
            drafted = inputs[row - count + 1 : row + 1]
            written = self._written(slot, max(0, end - constraint.window), end - count)
            ids = last_ids(constraint.window, written, drafted)
            if constraint.needs_history and constraint.admitted(ids) is not None:
                ids = last_ids(end, self._written(slot, 0, end - count), drafted)
            admitted[row] = constraint.admitted(ids)
        return admitted

    def _written(self, slot: int, start: int, end: int) -> list[int]:
        ids: list[int] = self._state.all_token_ids.gpu[slot, start : max(start, end)].tolist()
        return ids


def _check_ids_are_passed(vllm_config: Any) -> None:
    """Refuse a V1 runner that would pass placeholders in place of ids."""
    scheduling = getattr(vllm_config.scheduler_config, "async_scheduling", False)
    if scheduling and not vllm_config.model_config.logits_processors:
        raise UsageError(_remedy())


def _remedy() -> str:
    return (
        "vLLM does not pass the written ids to installed logits processors under asynchronous scheduling: start it "
        f"with --logits-processors {NAME}, or with --no-async-scheduling"
    )
