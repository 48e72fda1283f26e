"""Recompute the figures of ``tracktokens evaluate`` from the Parquet tables of a store.

    python benchmarks/recompute_evaluate.py STORE held_out.parquet [--first 5]

It shares no code with the package, needs only numpy and pyarrow, and prints JSON: scorer to ``mrr``, ``hit_at_10`` and
their standard errors, and ``median_ties``. Scores are computed track by track and pair by pair, so it is slow. It reads
the latest release, which has five tokens per track.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

MODALITIES = {"playlist": 25.0, "tags": 5.0, "metadata": 5.0, "lyrics": 1.0, "audio": 1.0}
"""Modality to its weight, as in TalkPlay (arXiv 2502.13713)."""

Scorer = Callable[[list[int]], "np.ndarray[Any, np.dtype[np.float64]]"]


class Release:
    """Tracks of the latest release, the most popular first, and the playlists that it was trained on."""

    def __init__(self, store: Path) -> None:
        release = store / "releases" / (store / "LATEST").read_text().strip()
        catalog = store / "catalogs" / json.loads((release / "manifest.json").read_text())["catalog_id"]
        tokens = {row["track_id"]: row for row in _rows(release / "tokens")}
        tracks = {row["track_id"]: row for row in _rows(catalog / "tracks")}
        key_to_id = {hashlib.blake2b(name.encode(), digest_size=16).digest(): name for name in tokens}
        lists = [[key_to_id[key] for key in row["track_keys"] if key in key_to_id] for row in _corpus(catalog)]
        counts = Counter(name for names in lists for name in set(names))
        popularity = {name: tracks[name]["popularity"] for name in tokens}
        if all(value is None for value in popularity.values()):
            popularity = dict(counts)
        self.ids = sorted(tokens, key=lambda name: (-max(popularity.get(name) or 0, 0), name))
        self.row = {name: row for row, name in enumerate(self.ids)}
        self.codes = {column: [tokens[name][column] for name in self.ids] for column in MODALITIES}
        self.artists = [tracks[name]["artist"] for name in self.ids]
        self.counts = np.array([counts[name] for name in self.ids], float)
        self.playlists = [sorted({self.row[name] for name in names}) for names in lists]

    def scorers(self) -> dict[str, Scorer]:
        """Return the scorers that need no vectors and no random numbers."""
        found: dict[str, Scorer] = {
            "tokens": lambda seeds: self.equal(seeds, MODALITIES),
            "tokens, affinity": Affinity(self),
            "popularity": lambda _: self.counts,
            "artist, then popularity": self.artist,
            "item-kNN": self.item_knn,
        }
        for name in MODALITIES:
            if any(code is not None for code in self.codes[name]):
                found[f"tokens, {name} alone"] = lambda seeds, name=name: self.equal(seeds, {name: 1.0})
        return found

    def equal(self, seeds: list[int], weights: dict[str, float]) -> Any:
        """Score by the share of the seeds that have a track's code."""
        scores = np.zeros(len(self.ids))
        for name, weight in weights.items():
            known = [self.codes[name][seed] for seed in seeds if self.codes[name][seed] is not None]
            scores += [weight * known.count(code) / len(known) if known else 0 for code in self.codes[name]]
        return scores.round(9)

    def artist(self, seeds: list[int]) -> Any:
        """Score tracks by the seeds' artists above all others."""
        artists = {self.artists[seed] for seed in seeds} - {None}
        return self.counts + np.array([1e9 if artist in artists else 0 for artist in self.artists])

    def item_knn(self, seeds: list[int]) -> Any:
        """Score by the cosine of the sets of playlists of a track and each seed."""
        together = np.zeros(len(self.ids))
        for playlist in self.playlists:
            together[playlist] += sum(1 / self.counts[seed] ** 0.5 for seed in set(seeds) & set(playlist))
        return (together / np.sqrt(np.maximum(self.counts, 1))).round(9)


class Affinity:
    """Score by the logarithm of how much more often codes are together in playlists than by chance."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.tables = {name: self.learn(codes) for name, codes in release.codes.items()}

    def learn(self, codes: list[int | None]) -> Any:
        """Return log lifts by the code of a seed and that of a track."""
        size = max((code for code in codes if code is not None), default=-1) + 1
        pairs, chances = np.zeros((size, size)), np.zeros(size)
        for row, code in enumerate(codes):
            if code is not None:
                chances[code] += 1 + self.release.counts[row]
        chances /= max(chances.sum(), 1)
        for playlist in self.release.playlists:
            held = Counter(codes[row] for row in playlist if codes[row] is not None)
            there, numbers = list(held), np.array(list(held.values()), float)
            together = np.outer(numbers, numbers) - np.diag(numbers)
            pairs[np.ix_(there, there)] += together / max(len(playlist) - 1, 1)
        prior = 0.5 * chances[None, :] + 0.5 * np.eye(size)
        beside = (pairs + 10 * prior) / (pairs.sum(axis=1, keepdims=True) + 10)
        return np.log(np.where(chances > 0, beside / np.where(chances > 0, chances, 1), 1))

    def __call__(self, seeds: list[int]) -> Any:
        """Score all tracks."""
        scores = 0.5 * np.log1p(self.release.counts)
        for name, codes in self.release.codes.items():
            known = [codes[seed] for seed in seeds if codes[seed] is not None]
            if known:
                lifts = self.tables[name][known].mean(axis=0)
                scores += [0 if code is None else lifts[code] for code in codes]
        return scores.round(9)


def continuations(release: Release, path: Path, first: int) -> Iterator[tuple[list[int], list[int]]]:
    """Split each held-out playlist into its first tracks and the rest."""
    for names in pq.read_table(path)["track_ids"].to_pylist():
        rows = [release.row[name] for name in dict.fromkeys(names or []) if name in release.row]
        if len(rows) > 1:
            known = min(first, len(rows) - 1)
            yield rows[:known], rows[known:]


def measure(scorer: Scorer, playlists: list[tuple[list[int], list[int]]]) -> dict[str, float]:
    """Rank all tracks but the seeds for each playlist, and average."""
    ranks, ties = [], []
    for seeds, targets in playlists:
        scores = scorer(seeds)
        seed_set, target_set = set(seeds), set(targets)
        ranking = [row for row in np.argsort(-scores, kind="stable").tolist() if row not in seed_set]
        place = next(number for number, row in enumerate(ranking) if row in target_set)
        ranks.append(place + 1)
        ties.append(int((scores[ranking] == scores[ranking[place]]).sum()))
    values = {"mrr": 1 / np.array(ranks), "hit_at_10": (np.array(ranks) <= 10).astype(float)}
    found = {name: float(each.mean()) for name, each in values.items()}
    found |= {f"{name}_error": float(each.std(ddof=1) / len(each) ** 0.5) for name, each in values.items()}
    return found | {"median_ties": float(np.median(ties))}


def _corpus(catalog: Path) -> Iterator[dict[str, Any]]:
    return _rows(catalog / "playlists" / "corpus")


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.parquet")):
        yield from pq.ParquetFile(path).read().to_pylist()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("playlists", type=Path)
    parser.add_argument("--first", type=int, default=5)
    args = parser.parse_args()
    release = Release(args.store)
    playlists = list(continuations(release, args.playlists, args.first))
    print(json.dumps({name: measure(scorer, playlists) for name, scorer in release.scorers().items()}, indent=2))


if __name__ == "__main__":
    main()
