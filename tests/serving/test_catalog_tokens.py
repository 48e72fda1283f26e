"""The API of a serving table gives what a search of all tracks gives."""

import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.support.small_serving import CODES, TRACKS, SmallCatalog
from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.token_index import Matching, TokenIndex
from tracktokens.codebooks.tokens.vocabulary import added_tokens_json, tuple_string
from tracktokens.schemas.errors import InvalidDataError, UnknownTrackError, UsageError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.serving import CatalogTokens


@pytest.fixture(scope="module")
def tokens(small: SmallCatalog) -> CatalogTokens:
    return CatalogTokens.open(small.release)


def centroids() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {modality: draw.standard_normal((CODES, 3)).astype(np.float32) for modality in MODALITIES}


def test_every_track_is_found_by_its_tokens_as_text_and_as_codes(tokens: CatalogTokens, small: SmallCatalog) -> None:
    assert len(tokens) == TRACKS
    for track_id, codes in zip(small.ids, small.codes, strict=True):
        text = tuple_string(codes.tolist())
        assert tokens.tokens_of(track_id) == text
        assert track_id in tokens
        assert track_id in tokens.lookup(text)
        assert tokens.lookup(codes.tolist()) == tokens.lookup([None if code < 0 else code for code in codes.tolist()])


def test_tracks_with_the_same_tokens_come_by_popularity_and_then_by_id(
    tokens: CatalogTokens, small: SmallCatalog
) -> None:
    shared = small.codes[7].tolist()
    same = [small.ids[row] for row in small.ranked() if small.codes[row].tolist() == shared]
    assert tokens.lookup(f"<|track|>{tuple_string(shared)}<|/track|>") == same


def test_an_unknown_tuple_has_no_tracks(tokens: CatalogTokens) -> None:
    assert tokens.lookup([3, 3, 3, 3, 0]) == []


@pytest.mark.parametrize("graded", [False, True])
def test_matching_gives_the_rows_and_scores_of_the_index_of_a_release(
    tmp_path: Path, small: SmallCatalog, graded: bool
) -> None:
    release = shutil.copytree(small.release, tmp_path / "r1")
    (release / "vocabulary").mkdir()
    save_file(centroids(), release / "vocabulary" / "centroids.safetensors")
    tokens = CatalogTokens.open(release)
    order = small.ranked()
    index = TokenIndex(small.codes[order], [CodeSimilarity(points) for points in centroids().values()])
    allowed = np.zeros(TRACKS, bool)
    allowed[5:90] = True
    chosen = [small.ids[order[row]] for row in range(5, 90)]
    for query in ([1, -2, -2, 0, -1], [0, 1, -1, -2, -2], [-2, -2, 3, -2, -2]):
        for weights in ((25, 5, 5, 1, 1), (1, 2, 3, 4, 5)):
            for ids, mask in ((None, None), (chosen, allowed)):
                expected = index.match(np.array(query, np.int16), 20, Matching(weights, graded=graded), mask)
                found = tokens.match(query, 20, weights, graded=graded, allowed=ids)
                assert found.track_ids == tuple(small.ids[order[row]] for row in expected.rows)
                np.testing.assert_array_equal(found.matches.scores, expected.scores)
                np.testing.assert_array_equal(found.matches.similarities, expected.similarities)


def test_the_default_weights_are_those_of_the_release(tokens: CatalogTokens) -> None:
    text = "<|playlist_1|><|audio_0|>"
    found = tokens.match(text, 5)
    assert found.matches.shares.tolist() == pytest.approx([25 / 26, 0, 0, 0, 1 / 26])
    assert tokens.match(text, 5, none_is_a_token=False).track_ids == found.track_ids


def test_the_constraint_admits_what_the_trie_of_the_catalog_admits(tokens: CatalogTokens, small: SmallCatalog) -> None:
    vocabulary = added_tokens_json(CODES, first_id=100)

    class Tokenizer:
        def get_vocab(self) -> dict[str, int]:
            return vocabulary

    ours = tokens.constraint(Tokenizer(), repeats=False)
    built = CatalogConstraint(TupleTrie(small.codes), vocabulary, CODES, repeats=False)
    begin = vocabulary["<|track|>"]
    written = [7, begin]
    while (admitted := built.admitted(np.array(written))) is not None:
        ids = ours.admitted(np.array(written))
        assert ids is not None
        assert ids.tolist() == admitted.tolist()
        written.append(int(admitted[-1]))
        if written[-1] == vocabulary["<|/track|>"]:
            break
    assert len(written) == 8


def test_a_store_is_opened_at_its_latest_release_and_a_copied_table_by_itself(
    tmp_path: Path, small: SmallCatalog
) -> None:
    store = tmp_path / "store"
    shutil.copytree(small.release, store / "releases" / "r1")
    (store / "LATEST").write_text("r1\n")
    copied = shutil.copytree(small.release / "serving", tmp_path / "copied")
    assert {CatalogTokens.open(str(folder)).release_id for folder in (store, copied)} == {"r1"}


def test_threads_share_a_table_and_processes_open_it_again(tokens: CatalogTokens, small: SmallCatalog) -> None:
    other = pickle.loads(pickle.dumps(tokens))  # noqa: S301
    queries = [small.codes[row].tolist() for row in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tokens.lookup, queries)) == [other.lookup(query) for query in queries]


def test_a_release_without_a_table_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no serving table; write it with `tracktokens releases serving`"):
        CatalogTokens.open(tmp_path)


def test_a_remote_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="gs://bucket/store is not a local folder"):
        CatalogTokens.open("gs://bucket/store")


@pytest.mark.parametrize("name", ["codes.npy", "track_ids.arrow", "trie_starts.npy", "serving.json"])
def test_a_damaged_file_is_named(tmp_path: Path, small: SmallCatalog, name: str) -> None:
    folder = shutil.copytree(small.release / "serving", tmp_path / "serving")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidDataError, match=name):
        CatalogTokens.open(folder)


def test_files_of_different_tables_are_refused(tmp_path: Path, small: SmallCatalog) -> None:
    folder = shutil.copytree(small.release / "serving", tmp_path / "serving")
    np.save(folder / "tuple_starts.npy", np.zeros(3, np.int32))
    with pytest.raises(InvalidDataError, match=r"tuple_starts\.npy is int32 of shape"):
        CatalogTokens.open(folder)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("<|playlist_1|><|audio_0|>", "tokens of tags, metadata, lyrics are missing"),
        ("<|playlist_4|>", "is not in the vocabulary"),
        ("a song", "is not a token"),
        ([0, 0, 0, 0], "are not codes of playlist"),
        ([0, 0, 0, 0, CODES], "are not codes of playlist"),
    ],
)
def test_tokens_that_name_no_tuple_are_refused(tokens: CatalogTokens, written: str | list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tokens.lookup(written)


def test_an_unknown_track_is_an_error_of_its_own(tokens: CatalogTokens) -> None:
    assert "nothing" not in tokens
    assert 3 not in tokens
    with pytest.raises(UnknownTrackError, match="has no track 'nothing'"):
        tokens.tokens_of("nothing")


def test_graded_mode_without_the_vocabulary_is_refused(tokens: CatalogTokens) -> None:
    with pytest.raises(UsageError, match=r"centroids\.safetensors is missing"):
        tokens.match([0, 0, 0, 0, 0], graded=True)


def test_importing_and_opening_load_no_library_of_the_pipeline(small: SmallCatalog) -> None:
    script = (
        "import sys; from tracktokens.serving import CatalogTokens; "
        f"tokens = CatalogTokens.open({str(small.release)!r}); tokens.match([0] * 5); tokens.lookup([0] * 5); "
        "print(*sys.modules)"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )
    assert "tracktokens.serving.catalog_tokens" in loaded
    assert not {"apache_beam", "torch", "faiss", "scipy", "numba", "transformers", "pandas"} & loaded
