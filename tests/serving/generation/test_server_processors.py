"""The adapters of inference servers admit the same tokens as the constraint of ``generate``, in any batch."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.server_interfaces import VLLM_V1, VLLM_V2, provide
from tests.support.small_serving import CODES, SmallCatalog, draw_catalog
from tests.support.talking_model import make_model, make_tokenizer, save
from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.tokens.rendering import track_text
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving import CatalogTokens
from tracktokens.serving.generation.server_constraint import (
    EXCLUDE,
    OFF,
    RELEASE,
    REPEATS,
    TOKENIZER,
    RequestOptions,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    return draw_catalog(tmp_path_factory.mktemp("serving") / "releases" / "r1")


@pytest.fixture(scope="module")
def catalog(small: SmallCatalog) -> CatalogTokens:
    return CatalogTokens.open(small.release)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer(TokenFormat.of(CODES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return save(tmp_path_factory.mktemp("model"), make_model(tokenizer), tokenizer)


@pytest.fixture(autouse=True)
def environment(small: SmallCatalog, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(RELEASE, str(small.release))
    monkeypatch.setenv(TOKENIZER, str(folder))
    provide(monkeypatch)
    yield
    for name in ("vllm_processor", "sglang_processor"):
        sys.modules.pop(f"tracktokens.serving.generation.{name}", None)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"tracktokens.serving.generation.{name}")


def config(folder: Path, bundle: str = "b1", asynchronous: bool = False, named: bool = False) -> Any:
    model = SimpleNamespace(
        tokenizer=str(folder),
        hf_config=SimpleNamespace(tracktokens={"bundle": bundle}),
        logits_processors=["some"] if named else None,
    )
    return SimpleNamespace(model_config=model, scheduler_config=SimpleNamespace(async_scheduling=asynchronous))


def params(**extra: Any) -> Any:
    return SimpleNamespace(extra_args=extra or None)


def encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def beginnings(catalog: CatalogTokens, tokenizer: Any, track_id: str) -> list[list[int]]:
    """Ids of a text, and of a track after it, up to each of its tokens."""
    text, whole = encode(tokenizer, "something slow "), encode(tokenizer, track_text(catalog.tokens_of(track_id)))
    return [text + whole[:count] for count in range(len(whole) + 1)]


def expected(constraint: CatalogConstraint, rows: list[list[int]], logits: torch.Tensor) -> torch.Tensor:
    """Restrict the logits row by row, as in ``generate``."""
    return torch.cat([constraint(torch.tensor([row]), logits[n : n + 1]) for n, row in enumerate(rows)])  # type: ignore[arg-type]


def draw(rows: int, tokenizer: Any) -> torch.Tensor:
    return torch.randn(rows, len(tokenizer) + 5, generator=torch.Generator().manual_seed(0))


def test_vllm_v1_restricts_each_row_as_generate_does(
    catalog: CatalogTokens, tokenizer: Any, folder: Path, small: SmallCatalog
) -> None:
    processor = module("vllm_processor").CatalogLogitsProcessor(config(folder), torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    rows = beginnings(catalog, tokenizer, small.ids[5])
    update = importlib.import_module(VLLM_V1).BatchUpdate
    # The prompt ends at each place of the row: written ids may begin within a track.
    for cut in range(1, 6):
        added = [(n, params(), row[:cut], row[cut:]) for n, row in enumerate(rows)]
        processor.update_state(update(batch_size=len(rows), removed=[], added=added, moved=[]))
        logits = draw(len(rows), tokenizer)
        wanted = expected(catalog.constraint(tokenizer, repeats=False), rows, logits)
        assert torch.equal(processor.apply(logits.clone()), wanted)
        assert not torch.equal(wanted, logits)


def test_vllm_v1_follows_requests_that_grow_move_and_leave(
    catalog: CatalogTokens, tokenizer: Any, folder: Path, small: SmallCatalog
) -> None:
    vllm = importlib.import_module(VLLM_V1)
    processor = module("vllm_processor").CatalogLogitsProcessor(config(folder), torch.device("cpu"), False)
    first, second = beginnings(catalog, tokenizer, small.ids[5])[3], encode(tokenizer, "older")
    output: list[int] = []

    def check(rows: dict[int, list[int]], size: int) -> None:
        logits = draw(size, tokenizer)
        constraint = catalog.constraint(tokenizer, repeats=False)
        wanted = logits.clone()
        for row, ids in rows.items():
            wanted[row] = expected(constraint, [ids], logits[row : row + 1])[0]
        assert torch.equal(processor.apply(logits), wanted)

    added = [(0, params(), first, output), (1, params(**{OFF: 1}), first, []), (2, params(), second, [])]
    processor.update_state(vllm.BatchUpdate(batch_size=3, removed=[], added=added, moved=[]))
    check({0: first, 2: second}, 3)
    output.append(int(catalog.constraint(tokenizer).admitted(torch.tensor(first).numpy())[0]))  # type: ignore[index]
    processor.update_state(None)
    check({0: first + output, 2: second}, 3)
    swap = vllm.MoveDirectionality.SWAP
    processor.update_state(vllm.BatchUpdate(batch_size=3, removed=[], added=[], moved=[(0, 1, swap)]))
    check({1: first + output, 2: second}, 3)
    one_way = vllm.MoveDirectionality.UNIDIRECTIONAL
    processor.update_state(vllm.BatchUpdate(batch_size=2, removed=[1], added=[], moved=[(2, 1, one_way)]))
    check({1: second}, 2)
    processor.update_state(vllm.BatchUpdate(batch_size=1, removed=[0, 1], added=[(0, params(), None, [])], moved=[]))
    check({0: []}, 1)


def test_vllm_v2_reads_written_ids_and_drafts_from_the_device(
    catalog: CatalogTokens, tokenizer: Any, folder: Path, small: SmallCatalog
) -> None:
    states = SimpleNamespace(all_token_ids=SimpleNamespace(gpu=torch.zeros(4, 64, dtype=torch.int32)))
    base = importlib.import_module(VLLM_V2).LogitsProcessor
    processor = module("vllm_processor").CatalogLogitsProcessor(config(folder), states)
    assert isinstance(processor, base)
    rows = beginnings(catalog, tokenizer, small.ids[5])
    plain, drafted = rows[2], rows[-1]
    assert processor.add_request(3, params()) is True
    assert processor.add_request(1, params()) is True
    assert processor.add_request(0, params(**{OFF: 1})) is False
    committed = len(rows[2])
    states.all_token_ids.gpu[3, : len(plain)] = torch.tensor(plain)
    states.all_token_ids.gpu[1, :committed] = torch.tensor(drafted[:committed])
    # Slot 1 has a row for its last written token and one for each of three drafts.
    places = [(3, len(plain) - 1, 0, plain[-1])]
    places += [(1, committed - 1 + n, n, drafted[committed - 1 + n]) for n in range(4)]
    places += [(0, 4, 0, 1)]
    slots, positions, offsets, inputs = (torch.tensor(column) for column in zip(*places, strict=True))
    context = SimpleNamespace(expanded_idx_mapping=slots, pos=positions, expanded_local_pos=offsets, input_ids=inputs)
    logits = draw(6, tokenizer)
    contexts = [plain, *(drafted[: committed + n] for n in range(4))]
    wanted = expected(catalog.constraint(tokenizer, repeats=False), contexts, logits)
    found = processor.apply(logits.clone(), context)
    assert torch.equal(found[:5], wanted)
    assert torch.equal(found[5], logits[5])
    processor.add_request(3, params(**{OFF: 1}))  # the slot of a request that ended
    assert torch.equal(processor.apply(logits.clone(), context)[0], logits[0])


def test_sglang_restricts_each_row_as_generate_does(
    catalog: CatalogTokens, tokenizer: Any, small: SmallCatalog
) -> None:
    processor = module("sglang_processor").CatalogLogitProcessor()
    rows = beginnings(catalog, tokenizer, small.ids[5])
    requests = [SimpleNamespace(origin_input_ids=row[:3], output_ids=row[3:]) for row in rows]
    given: list[Any] = [{"__req__": request} for request in requests]
    given.append({"__req__": requests[-2], OFF: True})
    logits = draw(len(given), tokenizer)
    wanted = expected(catalog.constraint(tokenizer, repeats=False), rows, logits)
    for _ in range(2):  # the second time with constraints that the parameters keep
        found = processor(logits.clone(), given)
        assert torch.equal(found[:-1], wanted)
        assert torch.equal(found[-1], logits[-1])
    with pytest.raises(UsageError, match="custom_params"):
        processor(logits, [None] * len(given))


@pytest.mark.parametrize("disabled", [True, False])
def test_sglang_must_not_overlap_its_schedule(tokenizer: Any, monkeypatch: pytest.MonkeyPatch, disabled: bool) -> None:
    name = "sglang.srt.runtime_context"
    context = ModuleType(name)
    context.get_schedule = lambda: SimpleNamespace(disable_overlap_schedule=disabled)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, context)
    processor = module("sglang_processor").CatalogLogitProcessor()
    given = [{"__req__": SimpleNamespace(origin_input_ids=[1, 2], output_ids=[])}]
    if disabled:
        assert processor(draw(1, tokenizer), given).isfinite().any()
    else:
        with pytest.raises(UsageError, match="--disable-overlap-schedule"):
            processor(draw(1, tokenizer), given)


def test_tracks_of_the_conversation_are_repeated_only_on_request(
    catalog: CatalogTokens, tokenizer: Any, folder: Path, small: SmallCatalog
) -> None:
    alone = next(i for i in small.ids if len(catalog.lookup(catalog.codes_of(i).tolist())) == 1)
    written = beginnings(catalog, tokenizer, alone)[-1]
    again = written + beginnings(catalog, tokenizer, alone)[-3]
    last = beginnings(catalog, tokenizer, alone)[-2][-1]
    update = importlib.import_module(VLLM_V1).BatchUpdate
    processor = module("vllm_processor").CatalogLogitsProcessor(config(folder), torch.device("cpu"), False)
    extra = [{}, {REPEATS: 1}, {REPEATS: 1, EXCLUDE: [alone, "unknown"]}]
    added = [(n, params(**arguments), again, []) for n, arguments in enumerate(extra)]
    processor.update_state(update(batch_size=3, removed=[], added=added, moved=[]))
    possible = processor.apply(draw(3, tokenizer))[:, last].isfinite().tolist()
    assert possible == [False, True, False]


def test_without_a_release_the_plugin_does_nothing(
    tokenizer: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RELEASE)
    processor = module("vllm_processor").CatalogLogitsProcessor(config(folder), torch.device("cpu"), False)
    update = importlib.import_module(VLLM_V1).BatchUpdate
    processor.update_state(update(batch_size=1, removed=[], added=[(0, params(), [1], [])], moved=[]))
    logits = draw(1, tokenizer)
    assert torch.equal(processor.apply(logits.clone()), logits)
    with pytest.raises(UsageError, match=RELEASE):
        module("sglang_processor").CatalogLogitProcessor()(logits, [{}])


def test_servers_that_cannot_be_constrained_do_not_start(
    tokenizer: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module("vllm_processor").CatalogLogitsProcessor
    with pytest.raises(InvalidDataError, match="bundle b2"):
        made(config(folder, bundle="b2"), torch.device("cpu"), False)
    with pytest.raises(UsageError, match="--logits-processors"):
        made(config(folder, asynchronous=True), torch.device("cpu"), False)
    late = made(config(folder, asynchronous=True, named=True), torch.device("cpu"), False)
    update = importlib.import_module(VLLM_V1).BatchUpdate
    late.update_state(update(batch_size=1, removed=[], added=[(0, params(), [1], [-1])], moved=[]))
    with pytest.raises(UsageError, match="--no-async-scheduling"):
        late.apply(draw(1, tokenizer))
    monkeypatch.delenv(TOKENIZER)
    with pytest.raises(UsageError, match=TOKENIZER):
        module("sglang_processor").CatalogLogitProcessor()(draw(1, tokenizer), [{}])


@pytest.mark.parametrize("wrong", [{"tracktokens_excluded": []}, {OFF: "yes"}, {EXCLUDE: "t1"}, {EXCLUDE: [1]}])
def test_wrong_arguments_of_a_request_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="tracktokens_"):
        RequestOptions.of(wrong)
    with pytest.raises(ValueError, match="tracktokens_"):
        module("vllm_processor").CatalogLogitsProcessor.validate_params(params(**wrong))
