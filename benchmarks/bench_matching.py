"""Find the best 100 of 1,000,000 tracks by tokens, by a polars expression, and by faiss; in one thread.

    python benchmarks/bench_matching.py [--tracks 1000000 ...] [--queries 40] [--hnsw-tracks 100000]

Synthetic tracks: 3,000 clusters with power-law sizes. A track's vector has 384 dimensions; half of its codes are its
cluster's, the others are those of another track. Queries are the tokens, and the vectors, of tracks: all five tokens;
playlist and audio; and all but playlist. The sides take turns. polars computes the exact mode's
score of every row and keeps the largest; it must find the same scores. faiss finds tracks by their vectors, which is
another ranking: only its time is compared.

Times of searches and steps are CPU time, which other work on the machine does not change.

HNSW takes long to build, so it can have fewer tracks. The last lines show the time of a decoding step under
``CatalogConstraint`` for eight rows, and of reading a release.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from result_table import Result, record

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.token_index import Matching, TokenIndex
from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD
from tracktokens.codebooks.tokens.vocabulary import token_strings, vocabulary
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import AUDIO, LYRICS, METADATA, MODALITIES, PLAYLIST, TAGS
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.tokens import tokens_schema
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import write_bundle
from tracktokens.transforms.store.keys import content_keys, track_numbers
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex

CODES, CLUSTERS, DIM = 1024, 3000, 384
DIMS = {PLAYLIST: 64, TAGS: 384, METADATA: 384, LYRICS: 384, AUDIO: 150}
LACKING = {PLAYLIST: 0.2, TAGS: 0.15, METADATA: 0.0, LYRICS: 0.6, AUDIO: 0.1}
OF_CLUSTER = 0.5
TOP = 100
IN_A_ROW = 10
BLOCK = 1 << 16

MODEL_VOCABULARY = 128_256
BATCH, CONTEXT = 8, 1000
STEPS = 50

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

KINDS = {"all five": (0, 1, 2, 3, 4), "playlist, audio": (0, 4), "without playlist": (1, 2, 3, 4)}

Codes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--hnsw-tracks", type=int, default=100_000, help="most tracks for which HNSW is built")
    arguments = parser.parse_args()
    for tracks in arguments.tracks:
        compare(tracks, arguments.queries, tracks <= arguments.hnsw_tracks)
    time_constraint(tracks)
    time_reading(tracks)


def compare(tracks: int, queries: int, hnsw: bool) -> None:
    clusters, codes = make_codes(tracks)
    start = time.perf_counter()
    index = TokenIndex(codes, make_similarities())
    seconds = time.perf_counter() - start
    print(f"{tracks:,} tracks, best {TOP}; index made in {seconds:.2f} s, {index.nbytes / tracks:.0f} bytes a track")
    vectors = make_vectors(clusters)
    rows = np.random.default_rng(1).integers(0, tracks, queries)
    dense = dense_sides(vectors, hnsw)
    polars = polars_side(codes)
    for kind, written in KINDS.items():
        asked = np.full((queries, len(MODALITIES)), WILDCARD, np.int16)
        asked[:, written] = codes[rows][:, written]
        require_same_scores(index, polars, asked[:5])
        sides: dict[str, Callable[[int], object]] = {
            "exact": lambda number, asked=asked: index.match(asked[number], TOP),
            "polars": lambda number, asked=asked: polars(asked[number]),
            "graded": lambda number, asked=asked: index.match(asked[number], TOP, Matching(graded=True)),
        }
        for name, search in dense.items():
            sides[name] = lambda number, search=search: search(vectors[rows[number]][np.newaxis])
        taken = timed(sides, queries)
        report(kind, taken)
        exact, expression = (statistics.median(taken[side]) for side in ("exact", "polars"))
        work = f"best {TOP} of {tracks:,} by {kind}"
        record(Result("matching", work, exact, expression, "ms of processor", "a polars expression"))


def timed(sides: dict[str, Callable[[int], object]], queries: int) -> dict[str, list[float]]:
    """Milliseconds per side and query. The sides take turns, each with a few queries after one warm-up query.

    A flat search reads 1.5 GB: after each query it would leave nothing of the others in the cache.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for first in range(0, queries, IN_A_ROW):
        for name, side in sides.items():
            side(first)
            for number in range(first, min(first + IN_A_ROW, queries)):
                start = time.process_time()
                side(number)
                taken[name].append((time.process_time() - start) * 1000)
    return taken


def report(kind: str, taken: dict[str, list[float]]) -> None:
    print(f"  {kind}:")
    for name, times in taken.items():
        ratio = statistics.median(other / exact for other, exact in zip(times, taken["exact"], strict=True))
        print(
            f"    {name:7s} median {statistics.median(times):7.2f} ms, 95 % within {np.percentile(times, 95):7.2f} ms, "
            f"{ratio:6.1f} times exact",
            flush=True,
        )


def polars_side(codes: Codes) -> Callable[[Codes], npt.NDArray[np.float64]]:
    """Build the exact mode's score as an expression over a table whose missing codes are -1, so without nulls."""
    import polars as pl

    table = pl.DataFrame({modality: np.ascontiguousarray(codes[:, m]) for m, modality in enumerate(MODALITIES)})
    places = pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")

    def search(query: Codes) -> npt.NDArray[np.float64]:
        terms = [
            (pl.col(modality) == pl.lit(code, pl.Int16)).cast(pl.Float32) * weight
            for modality, code, weight in zip(MODALITIES, query.tolist(), MATCHING_WEIGHTS, strict=True)
            if code != WILDCARD
        ]
        found = table.lazy().select(places, pl.sum_horizontal(terms).alias("score")).top_k(TOP, by="score").collect()
        scores: npt.NDArray[np.float64] = np.sort(found["score"].to_numpy())[::-1].astype(np.float64)
        return scores

    return search


def require_same_scores(index: TokenIndex, polars: Callable[[Codes], npt.NDArray[np.float64]], asked: Codes) -> None:
    for query in asked:
        whole = np.dot(query != WILDCARD, MATCHING_WEIGHTS)
        theirs = polars(query) / whole
        np.testing.assert_allclose(index.match(query, TOP).scores, theirs[theirs > 0], rtol=1e-6)


def dense_sides(vectors: Floats, hnsw: bool) -> dict[str, Callable[[Floats], object]]:
    """Build faiss searches by inner product; HNSW with 32 links per track and a beam of 128, built with all cores."""
    import faiss

    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    sides = {"flat": lambda vector: flat.search(vector, TOP)}
    print(f"  flat: {vectors.nbytes / len(vectors):.0f} bytes a track")
    if hnsw:
        graph = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efSearch = 128
        start = time.perf_counter()
        graph.add(vectors)
        size = len(faiss.serialize_index(graph)) / len(vectors)
        print(f"  HNSW: made in {time.perf_counter() - start:.0f} s, {size:.0f} bytes a track", flush=True)
        sides["HNSW"] = lambda vector: graph.search(vector, TOP)
    faiss.omp_set_num_threads(1)
    return sides


def make_codes(tracks: int) -> tuple[npt.NDArray[np.int64], Codes]:
    """Draw the cluster of each track, and a code matrix."""
    draw = np.random.default_rng(0)
    sizes = (np.arange(CLUSTERS) + 20.0) ** -0.8
    clusters = draw.choice(CLUSTERS, tracks, p=sizes / sizes.sum())
    codes = np.empty((tracks, len(MODALITIES)), np.int16)
    for column, modality in zip(codes.T, MODALITIES, strict=True):
        of_cluster = draw.integers(0, CODES, CLUSTERS)
        others = of_cluster[draw.permutation(clusters)]
        column[:] = np.where(draw.random(tracks) < OF_CLUSTER, of_cluster[clusters], others)
        column[draw.random(tracks) < LACKING[modality]] = NONE
    return clusters, codes


def make_vectors(clusters: npt.NDArray[np.int64]) -> Floats:
    """Draw vectors of unit length around the centres of their clusters."""
    draw = np.random.default_rng(2)
    centres = draw.standard_normal((CLUSTERS, DIM), np.float32)
    vectors = np.empty((len(clusters), DIM), np.float32)
    for start in range(0, len(clusters), BLOCK):
        part = clusters[start : start + BLOCK]
        vectors[start : start + BLOCK] = centres[part] + draw.standard_normal((len(part), DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def make_similarities() -> list[CodeSimilarity]:
    return [CodeSimilarity(centroids) for centroids in make_centroids().values()]


def make_centroids() -> dict[str, Floats]:
    """Draw centroids in 32 groups, so that codes have close neighbours."""
    draw = np.random.default_rng(3)
    return {
        modality: (draw.standard_normal((32, dim))[np.arange(CODES) % 32] + draw.standard_normal((CODES, dim))).astype(
            np.float32
        )
        for modality, dim in DIMS.items()
    }


def time_constraint(tracks: int) -> None:
    """Time a decoding step for eight rows, by the number of codes already written."""
    import torch

    torch.set_num_threads(1)
    _, codes = make_codes(tracks)
    start = time.perf_counter()
    tree = TupleTrie(codes)
    seconds = time.perf_counter() - start
    size = MODEL_VOCABULARY + len(vocabulary(CODES))
    ids = {entry.token: MODEL_VOCABULARY + place for place, entry in enumerate(vocabulary(CODES))}
    print(
        f"constraint over {tracks:,} tracks: tree made in {seconds:.2f} s, {tree.nbytes / tracks:.0f} bytes a track; "
        f"a step for {BATCH} rows of {size:,} scores"
    )
    draw = np.random.default_rng(4)
    for name, constraint in {
        "repeats allowed": CatalogConstraint(tree, ids, CODES),
        "no repeats": CatalogConstraint(tree, ids, CODES, repeats=False),
    }.items():
        steps = []
        for length in range(-1, len(MODALITIES) + 1):
            context = torch.from_numpy(make_context(codes[draw.integers(0, tracks, BATCH)], ids, length, draw))
            steps.append(timed_step(constraint, context, torch.randn(BATCH, size)))
        told = ", ".join(f"{step:.2f}" for step in steps[1:])
        print(f"  {name}: after 0 to 5 codes {told} ms; outside of a track {steps[0]:.2f} ms", flush=True)


def make_context(rows: Codes, ids: dict[str, int], length: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw random words that contain a whole track, and end with ``length`` codes of a track; none for -1."""
    strings = token_strings(as_batch(rows), CODES).to_pylist()
    tokens = [[ids[f"<|{name}|>"] for name in f"track|><|{text[2:-2]}".split("|><|")] for text in strings]
    context = draw.integers(0, MODEL_VOCABULARY, (len(rows), CONTEXT))
    context[:, 10:16] = tokens
    if length >= 0:
        context[:, -1 - length :] = np.array(tokens)[:, : length + 1]
    return context


def timed_step(constraint: CatalogConstraint, context: object, scores: object) -> float:
    """Median milliseconds of a step."""
    taken = []
    for _ in range(STEPS):
        start = time.process_time()
        constraint(context, scores)  # type: ignore[arg-type]
        taken.append((time.process_time() - start) * 1000)
    return statistics.median(taken)


def time_reading(tracks: int) -> None:
    """Time reading a release from Parquet to an index, twice."""
    with tempfile.TemporaryDirectory() as folder:
        store, release = write_release(folder, tracks)
        for _ in range(2):
            start = time.perf_counter()
            ReleaseIndex.read(store, release)
            print(f"a release of {tracks:,} tracks is read and indexed in {time.perf_counter() - start:.1f} s")


def write_release(root: str, tracks: int) -> tuple[Store, ReleaseManifest]:
    """Write the parts of a store that are read: bundle, token table and catalog."""
    store = Store.open_or_create(root, tracks)
    plain = Preprocessing(unit_length=False)
    books = [Codebook(modality, "made", plain, points, CODES) for modality, points in make_centroids().items()]
    bundle_id = write_bundle(store, Bundle.of(books), {modality: {} for modality in MODALITIES}).bundle_id
    release = ReleaseManifest("made", bundle_id, "made", CODES, {}, {"read": 1, "published": 1, "rejected": 0}, {})
    _, codes = make_codes(tracks)
    draw = np.random.default_rng(5)
    for bucket, part in enumerate(np.array_split(codes, store.buckets)):
        ids = pa.array(sorted(draw.bytes(11).hex() for _ in range(len(part))))
        batch, schema = as_batch(part), tokens_schema(bundle_id)
        table = pa.table([ids, *batch.columns, token_strings(batch, CODES)], schema=schema)
        files.write_batches(store.release("made").token_part(bucket), schema, [table])
        popularity = pa.array(np.floor(draw.pareto(0.8, len(part))))
        columns = {"track_id": ids, "track": pa.array(track_numbers(content_keys(ids))), "popularity": popularity}
        known = [columns.get(field.name, pa.nulls(len(part), field.type)) for field in CATALOG_TRACKS]
        path = files.join(store.catalog("made").tracks(bucket), "part.parquet")
        files.write_batches(path, CATALOG_TRACKS, [pa.table(known, schema=CATALOG_TRACKS)])
    return store, release


def as_batch(codes: Codes) -> pa.RecordBatch:
    columns: Sequence[pa.Array] = [pa.array(np.ascontiguousarray(column), mask=column == NONE) for column in codes.T]
    return pa.record_batch(list(columns), names=list(MODALITIES))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # They are read at import.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)  # noqa: S606
    main()
