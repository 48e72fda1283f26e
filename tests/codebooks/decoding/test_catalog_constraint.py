"""A constrained model writes only tracks of the catalog, with any decoding method."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token, vocabulary
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES

SIZE = 6
VOCABULARY = 120
PAD, EOS = 0, 1

_names = [entry.token for entry in vocabulary(SIZE)]
IDS = dict(zip(_names, np.random.default_rng(7).permutation(range(20, 110)).tolist(), strict=False))
"""Ids without any order, among those of other words."""

START, END = IDS[TRACK_START], IDS[TRACK_END]
CODES = {
    IDS[token(m, code)]: (place, -1 if code is None else code)
    for place, m in enumerate(MODALITIES)
    for code in [*range(SIZE), None]
}
WORD = next(number for number in range(2, VOCABULARY) if number not in IDS.values())


def ids_of(*codes):
    return [IDS[token(m, None if code == -1 else code)] for m, code in zip(MODALITIES, codes, strict=False)]


@pytest.fixture(scope="module")
def catalog():
    return np.random.default_rng(0).integers(-1, SIZE, (40, 5)).astype(np.int16)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """One thread: for so small a model, synchronisation takes longer than computing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=PAD,
        bos_token_id=2,
        eos_token_id=EOS,
        initializer_range=0.5,  # so that its outputs differ
    )
    return LlamaForCausalLM(config).eval()


def eager(input_ids, scores):
    """Make the model start tracks often and never end; applied before the constraint, which takes precedence."""
    scores = scores.clone()
    scores[:, START] += 4
    scores[:, EOS] = -torch.inf
    return scores


PROMPTS = torch.tensor(
    [
        [PAD, PAD, 5, WORD, START],
        [3, 4, 5, WORD, WORD],
        [PAD, WORD, START, *ids_of(0, 1)],  # continues if the catalog has it, and is closed if not
        [PAD, PAD, PAD, PAD, START],
    ]
)


def generate(model, processors, **how):
    torch.manual_seed(1)
    return model.generate(
        PROMPTS,
        attention_mask=(PROMPTS != PAD).long(),
        max_new_tokens=60,
        logits_processor=[eager, *processors],
        **how,
    )


def written_tracks(row):
    """Codes of the complete tracks in a row of ids, and all track tokens outside of one."""
    tracks, strays, current = [], [], None
    for found in row:
        if found == START:
            current = []
        elif found == END and current is not None:
            tracks.append(tuple(current))
            current = None
        elif current is not None and found in CODES and CODES[found][0] == len(current):
            current.append(CODES[found][1])
        elif found in CODES or found == END or current is not None:
            strays.append(found)
    return tracks, strays


DECODING = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "temperature": 1.5, "num_return_sequences": 5},
    "sampling cold from the top": {"do_sample": True, "temperature": 0.3, "top_k": 20, "top_p": 0.9},
    "beams": {"do_sample": False, "num_beams": 4, "num_return_sequences": 4},
    "beams that are sampled": {"do_sample": True, "num_beams": 3, "num_return_sequences": 3},
}


@pytest.mark.parametrize("name", DECODING)
def test_every_track_that_is_written_is_in_the_catalog(model, catalog, name):
    constraint = CatalogConstraint(TupleTrie(catalog), IDS, SIZE)
    known = {tuple(row) for row in catalog.tolist()}
    found = 0
    for number, row in enumerate(generate(model, [constraint], **DECODING[name]).tolist()):
        tracks, strays = written_tracks(row)
        per_prompt = DECODING[name].get("num_return_sequences", 1)
        if number // per_prompt == 2:
            tracks = tracks[1:]  # the one that the prompt began
        assert set(tracks) <= known
        assert not strays
        found += len(tracks)
    assert found >= len(PROMPTS)


def test_without_the_constraint_the_same_model_writes_other_tokens(model, catalog):
    rows = generate(model, [], **DECODING["sampling"]).tolist()
    assert all(written_tracks(row)[1] for row in rows)


def admitted(constraint, ids):
    scores = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(3))
    kept = constraint(torch.tensor([ids]), scores)
    finite = torch.isfinite(kept[0])
    assert torch.equal(kept[0][finite], scores[0][finite])
    return set(torch.nonzero(finite)[:, 0].tolist())


SMALL = np.array([[0, 1, -1, 3, 4], [0, 1, 2, 3, 4], [5, 1, 2, 3, -1]], np.int16)


@pytest.mark.parametrize(
    ("prefix", "follow"),
    [
        ([], [(0,), (5,)]),
        ([0], [(0, 1)]),
        ([0, 1], [(0, 1, -1), (0, 1, 2)]),
        ([5, 1, 2, 3], [(5, 1, 2, 3, -1)]),
    ],
)
def test_the_codes_that_follow_in_some_track_are_admitted_and_nothing_else(prefix, follow):
    constraint = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE)
    expected = {ids_of(*codes)[-1] for codes in follow}
    assert admitted(constraint, [WORD, START, *ids_of(*prefix)]) == expected
    assert admitted(constraint, [START, *ids_of(*prefix)]) == expected


def test_a_track_of_five_tokens_is_closed_and_then_the_model_is_free():
    constraint = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE)
    track = [START, *ids_of(0, 1, 2, 3, 4)]
    assert admitted(constraint, track) == {END}
    outside = set(range(VOCABULARY)) - set(CODES) - {END}
    for ids in ([*track, END], [*track, END, WORD], [WORD], [*track[1:], WORD]):
        assert admitted(constraint, ids) == outside
    free = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE, codes_outside=True)
    assert admitted(free, [*track, END]) == set(range(VOCABULARY))
    assert admitted(free, track) == {END}


def test_a_track_that_the_prompt_began_and_that_does_not_exist_is_closed():
    constraint = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE)
    assert admitted(constraint, [START, *ids_of(0, 5)]) == {END}
    assert admitted(constraint, [START, *ids_of(0, 5, 5, 5, 5)]) == {END}


def test_text_after_the_mark_is_no_track():
    constraint = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE)
    outside = set(range(VOCABULARY)) - set(CODES) - {END}
    assert admitted(constraint, [START, WORD]) == outside
    assert admitted(constraint, [START, ids_of(0, 1)[1]]) == outside  # tags first
    assert admitted(constraint, [START, WORD, START]) == {ids_of(0)[0], ids_of(5)[0]}


def test_excluded_tracks_are_not_written():
    constraint = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE, exclude=SMALL[[0, 2]])
    assert admitted(constraint, [START]) == {ids_of(0)[0]}
    assert admitted(constraint, [START, *ids_of(0, 1)]) == {ids_of(0, 1, 2)[2]}
    assert admitted(CatalogConstraint(TupleTrie(SMALL), IDS, SIZE, exclude=SMALL), [START]) == {END}


def test_tracks_of_the_chat_are_not_repeated_when_that_is_wanted():
    constraint = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE, repeats=False)
    first, last = [START, *ids_of(*SMALL[1]), END], [START, *ids_of(*SMALL[2]), END]
    assert admitted(constraint, [*first, WORD, START]) == {ids_of(0)[0], ids_of(5)[0]}
    assert admitted(constraint, [*first, WORD, START, *ids_of(0, 1)]) == {ids_of(0, 1, -1)[2]}
    assert admitted(constraint, [*first, *last, START]) == {ids_of(0)[0]}
    assert admitted(constraint, [*first, *last, *first, START, *ids_of(0, 1)]) == {ids_of(0, 1, -1)[2]}


def test_a_model_that_may_not_repeat_itself_writes_each_track_once(model, catalog):
    constraint = CatalogConstraint(TupleTrie(catalog), IDS, SIZE, repeats=False)
    for row in generate(model, [constraint], **DECODING["sampling"]).tolist():
        tracks, _ = written_tracks(row)
        assert len(set(tracks)) == len(tracks)
    repeating = generate(model, [CatalogConstraint(TupleTrie(catalog), IDS, SIZE)], **DECODING["sampling"]).tolist()
    assert any(len(set(tracks)) < len(tracks) for tracks, _ in map(written_tracks, repeating))


def test_scores_are_left_as_they_were():
    scores = torch.zeros(2, VOCABULARY)
    kept = CatalogConstraint(TupleTrie(SMALL), IDS, SIZE)(torch.tensor([[WORD], [START]]), scores)
    assert not scores.any()
    assert torch.isfinite(kept).sum(dim=1).tolist() == [VOCABULARY - len(CODES) - 1, 2]


def test_tokens_without_ids_of_their_own_are_refused():
    tree = TupleTrie(SMALL)
    with pytest.raises(UsageError, match="2 of 37 tokens have no id, the first is <|track|>".replace("|", r"\|")):
        CatalogConstraint(tree, {name: found for name, found in IDS.items() if "track" not in name}, SIZE)
    with pytest.raises(UsageError, match="the same id"):
        CatalogConstraint(tree, IDS | {"<|audio_1|>": IDS["<|audio_0|>"]}, SIZE)
    with pytest.raises(UsageError, match="no tracks"):
        CatalogConstraint(TupleTrie(SMALL[:0]), IDS, SIZE)
