"""Recommendations by tiny models: every track exists, comes once, and is allowed; scores are those of the model."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import BloomConfig, Gemma2Config, GPT2Config, Qwen3Config

from tests.support.small_serving import CODES, SmallCatalog, draw_catalog
from tests.support.talking_model import make_model, make_tokenizer, model_of, save
from tracktokens.codebooks.decoding.catalog_constraint import TokenIds
from tracktokens.codebooks.tokens.vocabulary import TRACK_START
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving import CatalogTokens
from tracktokens.serving.build import ServingBuild
from tracktokens.serving.generation.precision import BFLOAT16, FLOAT32, move_to_device
from tracktokens.serving.generation.recommendation import Recommendation
from tracktokens.serving.generation.recommender import Recommender, ReplyOptions
from tracktokens.serving.generation.reply import NO_REPEAT

ASKED = [{"role": "user", "content": "play me something slow"}]


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
def recommender(catalog: CatalogTokens, tokenizer: Any) -> Recommender:
    return Recommender(make_model(tokenizer), tokenizer, catalog)


def catalog_of(folder: Path, token_format: TokenFormat, codes: list[list[int]]) -> CatalogTokens:
    """A catalog of tracks ``t0``, ``t1``, ..., in order of popularity."""
    (folder / "serving").mkdir(parents=True)
    (folder / "scratch").mkdir()
    columns = zip(token_format.names, np.array(codes, np.int16).T, strict=True)
    arrays = {name: pa.array(np.ascontiguousarray(column), mask=column < 0) for name, column in columns}
    ids = pa.array([f"t{number}" for number in range(len(codes))], pa.large_string())
    table = pa.table({"track_id": ids, **arrays, "popularity": -np.arange(len(codes), dtype=float)})
    ServingBuild(folder / "serving", folder / "scratch", token_format, len(codes)).write([table], "r1", "b1")
    return CatalogTokens.open(folder)


def log_probability(model: Any, ids: list[int], tokens: list[int]) -> float:
    """The mean log-probability of tokens after ids, by one plain pass."""
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, *tokens]])).logits[0].double().log_softmax(-1)
    return float(np.mean([logits[len(ids) - 1 + n, token] for n, token in enumerate(tokens)]))


def test_scores_and_order_are_those_of_all_tuples_scored_one_by_one(
    catalog: CatalogTokens, tokenizer: Any, small: SmallCatalog
) -> None:
    model = make_model(tokenizer)
    found = Recommender(model, tokenizer, catalog).recommend(ASKED, 300, max_new_tokens=0, beams=300)
    prompt = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=False)
    ids, start = TokenIds(tokenizer.get_vocab(), TokenFormat.of(CODES)), tokenizer.convert_tokens_to_ids(TRACK_START)
    tuples = {tuple(codes) for codes in small.codes.tolist()}
    scores = {
        codes: log_probability(
            model, [*prompt, start], [int(column[code]) for column, code in zip(ids.codes, codes, strict=True)]
        )
        for codes in tuples
    }
    codes_of = dict(zip(small.ids, map(tuple, small.codes.tolist()), strict=True))
    popular = {small.ids[row]: rank for rank, row in enumerate(small.ranked())}
    expected = sorted(small.ids, key=lambda track_id: (-round(scores[codes_of[track_id]], 4), popular[track_id]))
    assert found.track_ids == expected
    assert [track.score for track in found.tracks] == pytest.approx([scores[codes_of[i]] for i in expected], abs=1e-4)
    assert all(track.matched == catalog.columns for track in found.tracks)


def test_a_batch_and_single_calls_recommend_the_same(recommender: Recommender, small: SmallCatalog) -> None:
    asked = [
        ASKED,
        [
            *ASKED,
            {"role": "assistant", "content": f"Try [track:{small.ids[3]}]."},
            {"role": "user", "content": "older"},
        ],
        [{"role": "user", "content": "a song like the last, but older, and slow " * 5}],
    ]
    exclude = [[], small.ids[:200], [small.ids[7]]]
    batch = recommender.recommend_batch(asked, 5, exclude=exclude, batch_size=2)
    single = [recommender.recommend(one, 5, exclude=out) for one, out in zip(asked, exclude, strict=True)]
    assert [found.track_ids for found in batch] == [found.track_ids for found in single]
    assert [found.text for found in batch] == [found.text for found in single]
    scores = [[track.score for track in found.tracks] for found in batch]
    assert scores == [pytest.approx([track.score for track in found.tracks], abs=1e-4) for found in single]


OTHERS = {
    "gpt2": lambda rows: GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=rows, initializer_range=0.4),
    "gemma2": lambda rows: Gemma2Config(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, vocab_size=rows, initializer_range=0.4,
    ),
    "qwen3": lambda rows: Qwen3Config(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, vocab_size=rows, initializer_range=0.4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_scores_are_those_of_other_architectures_too(catalog: CatalogTokens, tokenizer: Any, name: str) -> None:
    model = model_of(OTHERS[name](len(tokenizer) + 5))
    found = Recommender(model, tokenizer, catalog).recommend(ASKED, 5, max_new_tokens=0)
    prompt = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=False)
    for track in found.tracks:
        tokens = tokenizer.encode(catalog.tokens_of(track.track_id), add_special_tokens=False)
        start = tokenizer.convert_tokens_to_ids(TRACK_START)
        assert track.score == pytest.approx(log_probability(model, [*prompt, start], tokens), abs=1e-3)


def test_models_that_cannot_read_branches_are_refused(catalog: CatalogTokens, tokenizer: Any) -> None:
    model = make_model(tokenizer)
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UsageError, match="attn_implementation='sdpa'"):
        Recommender(model, tokenizer, catalog)
    bloom = model_of(BloomConfig(hidden_size=32, n_layer=1, n_head=2, vocab_size=len(tokenizer)))
    with pytest.raises(UsageError, match="BloomForCausalLM takes no positions"):
        Recommender(bloom, tokenizer, catalog)


@pytest.mark.parametrize("seed", range(6))
def test_tracks_exist_are_distinct_allowed_and_not_excluded_whatever_the_model(
    catalog: CatalogTokens, tokenizer: Any, small: SmallCatalog, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    recommender = Recommender(make_model(tokenizer, seed=seed), tokenizer, catalog)
    named, exclude, allowed = (set(draw.choice(small.ids, size).tolist()) for size in (20, 60, 40))
    asked = [{"role": "user", "content": "like these", "tracks": sorted(named)}]
    for limit, beams in itertools.product((None, allowed), (1, 4, 12)):
        found = recommender.recommend(
            asked, 12, exclude=[*exclude, "unknown"], allowed=limit, beams=beams, max_new_tokens=6
        )
        eligible = set(limit or small.ids) - exclude - named
        assert len(set(found.track_ids)) == len(found.tracks) > 0
        assert set(found.track_ids) <= eligible
        assert len(found.tracks) == min(12, len(eligible)) or beams < 12
        scores = [track.score for track in found.tracks]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] <= 0


def test_a_catalog_with_fewer_tracks_than_asked_for_is_listed_whole(
    recommender: Recommender, small: SmallCatalog
) -> None:
    allowed = small.ids[:4]
    assert sorted(recommender.recommend(ASKED, 10, allowed=allowed).track_ids) == sorted(allowed)


def test_without_an_eligible_track_the_reply_is_text(recommender: Recommender, small: SmallCatalog) -> None:
    found = recommender.recommend(ASKED, exclude=small.ids, max_new_tokens=5)
    assert found.tracks == ()
    assert found.text
    assert "[track:" not in found.text
    assert recommender.recommend(ASKED, allowed=["unknown"]).tracks == ()


def test_near_tracks_fill_up_when_there_are_fewer_beams(recommender: Recommender, catalog: CatalogTokens) -> None:
    found = recommender.recommend(ASKED, 50, beams=1, max_new_tokens=0)
    best = catalog.codes_of(found.track_ids[0])
    exact = [track for track in found.tracks if track.matched == catalog.columns]
    assert [track.track_id for track in exact] == catalog.lookup(best.tolist())
    for track in found.tracks[len(exact) :]:
        equal = catalog.codes_of(track.track_id) == best
        assert track.matched == tuple(name for name, same in zip(catalog.columns, equal, strict=True) if same)
        similarity = np.average(equal, weights=[25, 5, 5, 1, 1])
        assert track.score == pytest.approx(exact[0].score + math.log(similarity), abs=1e-6) or similarity == 0


def test_a_catalog_of_one_track(tmp_path: Path) -> None:
    one = catalog_of(tmp_path, TokenFormat.of(2), [[1, -1, 0, 1, 0]])
    tokenizer = make_tokenizer(TokenFormat.of(2))
    recommender = Recommender(make_model(tokenizer), tokenizer, one)
    assert recommender.recommend(ASKED).track_ids == ["t0"]
    like = [{"role": "user", "content": "like [track:t0]"}]
    assert recommender.recommend(like).track_ids == []
    assert recommender.recommend(like, repeat_named=True).track_ids == ["t0"]


def test_levels_and_numbers_are_written_too(tmp_path: Path) -> None:
    token_format = TokenFormat.of(3, levels={"tags": [2]}, numbers=2)
    draw = np.random.default_rng(0)
    sizes = [column.size for column in token_format.columns]
    rows = [[int(draw.integers(size)) for size in sizes] for _ in range(30)]
    several = catalog_of(tmp_path, token_format, rows)
    tokenizer = make_tokenizer(token_format)
    found = Recommender(make_model(tokenizer), tokenizer, several).recommend(ASKED, 30)
    assert sorted(found.track_ids) == sorted(f"t{number}" for number in range(30))
    assert found.tracks[0].matched == token_format.names


def with_bias(model: Any, token_id: int) -> Any:
    """Make one token the most probable everywhere: its row of the head follows a direction that all states have."""
    model.lm_head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=True)
    with torch.no_grad():
        model.lm_head.weight *= 0.01
        model.lm_head.bias.zero_()
        model.lm_head.bias[token_id] = 50.0
    return model


def test_the_model_decides_whether_it_recommends_unless_it_must(catalog: CatalogTokens, tokenizer: Any) -> None:
    silent = Recommender(with_bias(make_model(tokenizer), tokenizer.eos_token_id), tokenizer, catalog)
    assert silent.recommend(ASKED, min_tracks=0) == Recommendation("", ())
    assert len(silent.recommend(ASKED, 3).tracks) == 3
    eager_model = with_bias(make_model(tokenizer), tokenizer.convert_tokens_to_ids(TRACK_START))
    eager = Recommender(eager_model, tokenizer, catalog).recommend(ASKED, 3, min_tracks=0, max_new_tokens=4)
    assert len(eager.tracks) == 3
    assert eager.text.startswith(f"[track:{eager.track_ids[0]}]")
    assert eager.text.count("[track:") == 1
    assert len(eager.text) > len(f"[track:{eager.track_ids[0]}]")


def test_code_tokens_are_never_in_the_text(catalog: CatalogTokens, tokenizer: Any) -> None:
    for name in ("<|audio_1|>", "<|/track|>"):
        model = with_bias(make_model(tokenizer), tokenizer.convert_tokens_to_ids(name))
        assert "<|" not in Recommender(model, tokenizer, catalog).recommend(ASKED, 1).text


def test_a_text_does_not_repeat_itself(catalog: CatalogTokens, tokenizer: Any) -> None:
    word = tokenizer.encode("slow", add_special_tokens=False)[0]
    text = tokenizer.decode([word])
    reply = Recommender(with_bias(make_model(tokenizer), word), tokenizer, catalog).recommend(ASKED, 1, min_tracks=0)
    assert reply.text.startswith(text * NO_REPEAT)  # the model would write nothing else
    assert text * (NO_REPEAT + 1) not in reply.text


def test_pieces_join_to_the_text_of_the_recommendation(recommender: Recommender) -> None:
    *pieces, last = recommender.stream(ASKED, ReplyOptions(top_k=3, max_new_tokens=12))
    assert isinstance(last, Recommendation)
    assert "".join(map(str, pieces)) == last.text
    assert len(pieces) > 2
    assert last == recommender.recommend(ASKED, 3, max_new_tokens=12)


def test_the_conversation_continues_without_repeating_a_track(recommender: Recommender) -> None:
    messages: list[Any] = list(ASKED)
    seen: list[str] = []
    for _ in range(3):
        found = recommender.recommend(messages, 4, max_new_tokens=3)
        seen += found.track_ids
        messages += [found.message(), {"role": "user", "content": "and another"}]
    assert len(set(seen)) == len(seen) == 12


def test_unknown_tracks_lose_their_mention_only(recommender: Recommender) -> None:
    asked = [{"role": "user", "content": "like [track:nobody]", "tracks": ["nothing"]}]
    found = recommender.recommend(asked, 2)
    assert found.unknown == ("nobody", "nothing")
    assert len(found.tracks) == 2
    assert found.track_ids == recommender.recommend([{"role": "user", "content": "like "}], 2).track_ids


def test_old_messages_are_dropped_when_the_conversation_is_too_long(catalog: CatalogTokens, tokenizer: Any) -> None:
    short = Recommender(make_model(tokenizer, max_position_embeddings=100), tokenizer, catalog)
    system = {"role": "system", "content": "warm"}
    talk = [{"role": "user", "content": "something slow and warm for the night"}] * 20
    found = short.recommend([system, *talk, *ASKED], 2, max_new_tokens=10)
    assert 0 < found.dropped < 21
    kept = [system, *talk[: 20 - found.dropped], *ASKED]
    assert found.track_ids == short.recommend(kept, 2, max_new_tokens=10).track_ids
    with pytest.raises(InvalidDataError, match=r"last message has .* shorten it"):
        short.recommend([{"role": "user", "content": "x y " * 200}])


def test_sampling_settings_of_the_model_do_not_empty_the_beams(catalog: CatalogTokens, tokenizer: Any) -> None:
    model = make_model(tokenizer)
    expected = Recommender(model, tokenizer, catalog).recommend(ASKED, 20)
    model.generation_config.update(do_sample=True, top_k=1, temperature=0.1)
    assert Recommender(model, tokenizer, catalog).recommend(ASKED, 20) == expected


def test_a_cpu_multiplies_in_bfloat16_and_the_head_in_float32(
    small: SmallCatalog, catalog: CatalogTokens, tokenizer: Any, tmp_path: Path
) -> None:
    model = make_model(tokenizer, tie_word_embeddings=True)
    save(tmp_path, model, tokenizer)
    expected = Recommender(model, tokenizer, catalog).recommend(ASKED, 20, max_new_tokens=0)
    exact, rounded = (
        Recommender.open(tmp_path, small.release, "cpu", precision).recommend(ASKED, 20, max_new_tokens=0)
        for precision in (FLOAT32, BFLOAT16)
    )
    assert exact == expected
    scores = {track.track_id: track.score for track in expected.tracks}
    shared = [track for track in rounded.tracks if track.track_id in scores]
    assert len(shared) > 10 and rounded != expected
    assert [track.score for track in shared] == pytest.approx([scores[track.track_id] for track in shared], rel=0.02)
    half = move_to_device(model, "cpu", BFLOAT16)
    logits = half(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert half.dtype == torch.bfloat16 and logits.dtype == torch.float32
    assert (logits != logits.bfloat16().float()).any()


def test_parts_that_do_not_belong_together_are_refused(catalog: CatalogTokens, tokenizer: Any) -> None:
    model = make_model(tokenizer)
    with pytest.raises(InvalidDataError, match="tokens of bundle b2, the release is of b1"):
        Recommender(make_model(tokenizer, bundle="b2"), tokenizer, catalog)
    with pytest.raises(InvalidDataError, match="names no bundle"):
        Recommender(make_model(tokenizer, bundle=None), tokenizer, catalog)
    with pytest.raises(UsageError, match="27 of 27 tokens have no id"):
        Recommender(model, make_tokenizer(None), catalog)
    with pytest.raises(InvalidDataError, match=r"ids up to \d+, the model has 100 rows"):
        Recommender(make_model(tokenizer, vocab_size=100), tokenizer, catalog)
    without = make_tokenizer(TokenFormat.of(CODES))
    without.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        Recommender(model, without, catalog)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"top_k": 0}, "top_k 0"), ({"beams": 0}, "beams 0"), ({"min_tracks": 11}, "min_tracks 11")],
)
def test_options_out_of_range_are_refused(recommender: Recommender, options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recommender.recommend(ASKED, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("messages", [[], [{"content": "no role"}], [{"role": "user", "content": 7}]])
def test_other_than_conversations_are_refused(recommender: Recommender, messages: Any) -> None:
    with pytest.raises(UsageError):
        recommender.recommend(messages)


def test_a_saved_model_is_opened_with_a_store(small: SmallCatalog, tokenizer: Any, tmp_path: Path) -> None:
    model = make_model(tokenizer)
    folder = save(tmp_path / "model", model, tokenizer)
    opened = Recommender.open(folder, small.release, precision=FLOAT32)
    found = opened.recommend(ASKED)
    expected = Recommender(model, tokenizer, CatalogTokens.open(small.release)).recommend(ASKED)
    assert (found.text, found.track_ids) == (expected.text, expected.track_ids)
    with pytest.raises(UsageError, match="no such folder"):
        Recommender.open(tmp_path / "none", small.release)
