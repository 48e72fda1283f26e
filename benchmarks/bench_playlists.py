"""Measure playlist vectors on real playlists: continuation of held-out playlists, and neighbours of rare tracks.

    python benchmarks/bench_playlists.py PLAYLISTS.parquet [--set epochs=20 --set dim=64 ...]

A fifth of the playlists is held out. Of each, the vectors of the first half's tracks, scaled to length 1, are averaged,
and all other trained tracks are ranked by cosine. ``hit`` is the share of playlists with a track of the second half
among the first 100, ``next`` the share with the very next track among them. A held-out playlist counts as a miss if one
half has no trained track. ``popular`` is ``hit`` of the 100 most frequent other tracks. ``rare`` is the share of tracks
with one entry whose nearest track is in the same playlist.
"""

import argparse
import time

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracktokens.schemas.tables.playlists import SCANNED_PLAYLISTS
from tracktokens.transforms.playlists.corpus import assemble, explode
from tracktokens.transforms.playlists.word2vec import Word2VecConfig, epochs_for, sample_for, train, training_pairs

Playlists = list[npt.NDArray[np.int64]]
PROPOSED = 100


def read_corpus(path: str) -> pa.Table:
    """Read playlists and clean them, as if every track were known."""
    table = pq.read_table(path, columns=SCANNED_PLAYLISTS.names[:2])
    table = table.append_column(SCANNED_PLAYLISTS.field("position"), pa.array(np.arange(table.num_rows)))
    exploded = explode(table.combine_chunks().to_batches()[0])
    done = assemble(pa.Table.from_batches([exploded.entries]), pa.Table.from_batches([exploded.heads]))
    return pa.Table.from_batches([done.corpus])


def coded(corpus: pa.Table, keys: pa.FixedSizeBinaryArray) -> Playlists:
    """Return each playlist as rows of ``keys``, -1 for an unknown track."""
    lists = corpus.column("track_keys").combine_chunks()
    rows = pc.fill_null(pc.index_in(lists.flatten(), value_set=keys), -1).to_numpy().astype(np.int64)
    return np.split(rows, np.cumsum(lists.value_lengths().to_numpy())[:-1])


def continuation(unit: npt.NDArray[np.float32], counts: npt.NDArray[np.int64], held_out: Playlists) -> dict[str, float]:
    """Return the shares of held-out playlists that are continued correctly."""
    hits = np.array([_hits(unit, counts, playlist) for playlist in held_out])
    return dict(zip(("hit", "next", "popular"), hits.mean(axis=0).round(3).tolist(), strict=True))


def _hits(unit: npt.NDArray[np.float32], counts: npt.NDArray[np.int64], playlist: npt.NDArray[np.int64]) -> list[bool]:
    first, second = np.split(playlist, [len(playlist) // 2])
    following = second[0]
    seen, second = np.unique(first[first >= 0]), second[(second >= 0) & ~np.isin(second, first)]
    if not len(seen) or not len(second):
        return [False] * 3
    proposed = _best(unit @ unit[seen].mean(axis=0), seen)
    popular = _best(counts.astype(np.float64), seen)
    return [bool(np.isin(second, proposed).any()), following in proposed, bool(np.isin(second, popular).any())]


def _best(score: npt.NDArray[np.float32 | np.float64], seen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    score[seen] = -np.inf
    return np.argpartition(-score, min(PROPOSED, len(score) - 1))[:PROPOSED]


def rare_neighbours(unit: npt.NDArray[np.float32], counts: npt.NDArray[np.int64], trained: Playlists) -> float:
    """Return, for up to 2,000 tracks with one entry, how often the nearest track is in the same playlist."""
    home = {track: playlist for playlist in trained for track in playlist.tolist()}
    rare = np.flatnonzero(counts == 1)
    rare = np.random.default_rng(0).choice(rare, min(2_000, len(rare)), replace=False)
    cosine = unit[rare] @ unit.T
    cosine[np.arange(len(rare)), rare] = -np.inf
    nearest = cosine.argmax(axis=1)
    return float(np.mean([near in home[track] for track, near in zip(rare.tolist(), nearest, strict=True)]))


def measure(corpus: pa.Table, config: Word2VecConfig) -> dict[str, float]:
    """Train without a fifth of the playlists and measure."""
    held_out = np.random.default_rng(0).random(corpus.num_rows) < 0.2
    training = corpus.filter(pa.array(~held_out))
    start = time.perf_counter()
    keys, vectors = train(training, config)
    seconds = time.perf_counter() - start
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    trained = coded(training, keys)
    counts = np.bincount(np.concatenate(trained), minlength=len(keys))
    found = continuation(unit, counts, coded(corpus.filter(pa.array(held_out)), keys))
    return {"seconds": round(seconds, 1), **found, "rare": round(rare_neighbours(unit, counts, trained), 3)}


def main() -> None:
    """Measure one configuration and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("playlists")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of Word2VecConfig")
    args = parser.parse_args()
    settings = dict(setting.split("=") for setting in args.set)
    corpus = read_corpus(args.playlists)
    lengths = pc.list_value_length(corpus.column("track_keys")).to_numpy().astype(np.int64)
    tracks = len(pc.list_flatten(corpus.column("track_keys")).unique())
    print(f"{corpus.num_rows} playlists, {lengths.sum()} entries, {tracks} tracks")
    numbers = {name: float(value) if set(value) & set(".e") else int(value) for name, value in settings.items()}
    config = Word2VecConfig(**numbers)  # type: ignore[arg-type]
    epochs = epochs_for(tracks, training_pairs(lengths, config.window))
    print(f"by the rules: {epochs} epochs, sample {sample_for(tracks):.2g}")
    print(config, measure(corpus, config))


if __name__ == "__main__":
    main()
