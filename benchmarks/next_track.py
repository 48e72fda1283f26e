"""Predict the next track of playlists from tokens, and compare with rivals: popularity, item-kNN, ALS, SASRec.

    python benchmarks/next_track.py prepare OUT --playlists PLAYLISTS.parquet     or --mpd FOLDER
    tracktokens run --tracks TRACKS --playlists OUT/train.parquet --store STORE   with OUT/tracks.parquet for --mpd
    python benchmarks/next_track.py compare OUT --store STORE [--epochs 10] [--seeds 1] [--test 1000]

The protocol is leave-last-out, as in the table of FusID (arXiv 2601.08764): of each playlist with at least three
tracks, the last track is to be predicted from the others. Repeated tracks count once, at their first place. Nothing
learns from the last tracks: neither the rivals nor the release, whose playlists are ``OUT/train.parquet``. Each method
ranks all tracks but those of the playlist. MRR counts the first 100 tracks. A target that no training playlist has
cannot be predicted by a method that only knows ids; it counts as a miss. Tracks with equal scores are in order of the
number of training playlists that hold them, then of their ids.

``--mpd FOLDER`` reads the slices of the Million Playlist Dataset, ``mpd.slice.*.json``; ``--most`` limits the number
of playlists.

| method | |
|---|---|
| popularity | number of training playlists |
| item-kNN | sum over the playlist's tracks of the cosine of their sets of training playlists |
| ALS | ``implicit``, 64 factors, 15 iterations, the playlist folded in; left out if the package is not installed |
| ALS, even | the same with the settings of ``--playlist-encoder als``: the entries of each track weigh the same |
| SASRec | causal transformer over ids (2 layers, 64 dimensions), cross entropy over all ids |
| affinity | tokens without a model: affinities of codes in training playlists, see ``tracktokens evaluate`` |
| tokens | causal transformer over tokens (2 layers, 128 dimensions); beams under the constraint of the catalog |
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.codebooks.metrics.code_affinity import learn_affinities
from tracktokens.codebooks.metrics.rival_scorers import ItemKnnScorer
from tracktokens.codebooks.metrics.token_features import CodeAffinities, WeightedScorer
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.serving import CatalogTokens
from tracktokens.transforms.playlists.als import AlsConfig, confidences

FIRST = 100
"""Tracks of a ranking that count."""

CUTS = (1, 10, 20)
CONTEXT = 20
"""Last tracks of a playlist that a sequence model reads."""

Lists = list[list[str]]
Ranking = list[str]


@dataclass(frozen=True)
class Split:
    """Training playlists, and the playlists to continue with their last tracks; all without repeats."""

    train: Lists
    contexts: Lists
    targets: list[str]

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of training playlists per track."""
        return Counter(track for playlist in self.train for track in playlist)


@dataclass(frozen=True)
class Result:
    """Ranks of the targets of one method, int64 (n,); 0 for a target that is not among the first."""

    name: str
    ranks: npt.NDArray[np.int64]
    seconds: float

    def row(self) -> str:
        """Format a row of the table: percent, with the standard error over playlists."""
        found = self.ranks > 0
        values = [np.where(found, 1 / np.maximum(self.ranks, 1), 0.0)]
        values += [(found & (self.ranks <= cut)).astype(float) for cut in CUTS]
        cells = (f"{100 * value.mean():.2f} ± {100 * value.std(ddof=1) / len(value) ** 0.5:.2f}" for value in values)
        return f"| {self.name} | {' | '.join(cells)} | {self.seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    prepare_parser = commands.add_parser("prepare", help="write OUT/train.parquet and OUT/test.parquet")
    prepare_parser.add_argument("out", type=Path)
    source = prepare_parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--playlists", type=Path)
    source.add_argument("--mpd", type=Path)
    prepare_parser.add_argument("--most", type=int, help="number of playlists to read")
    prepare_parser.set_defaults(run=prepare)
    compare_parser = commands.add_parser("compare", help="print the table")
    compare_parser.add_argument("out", type=Path)
    compare_parser.add_argument("--store", required=True)
    compare_parser.add_argument("--test", type=int, help="number of playlists to continue, drawn at random")
    compare_parser.add_argument("--epochs", type=int, default=10)
    compare_parser.add_argument("--seeds", type=int, default=1, help="trainings of both models; 0 leaves them out")
    compare_parser.add_argument("--beams", type=int, default=20)
    compare_parser.set_defaults(run=compare)
    arguments = parser.parse_args()
    arguments.run(arguments)


def prepare(arguments: argparse.Namespace) -> None:
    """Hold the last tracks out, and write both parts."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    ids, lists = read_mpd(arguments.mpd, arguments.out) if arguments.mpd else read_playlists(arguments.playlists)
    lists = [list(dict.fromkeys(tracks)) for tracks in lists[: arguments.most]]
    kept = [tracks[:-1] if len(tracks) > 2 else tracks for tracks in lists]
    held = [(name, tracks[:-1], tracks[-1]) for name, tracks in zip(ids, lists, strict=False) if len(tracks) > 2]
    if not held:
        raise SystemExit("no playlist has three tracks")
    columns = dict(zip(("playlist_id", "track_ids", "target"), zip(*held, strict=True), strict=True))
    pq.write_table(pa.table({"playlist_id": ids[: len(kept)], "track_ids": kept}), arguments.out / "train.parquet")
    pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), arguments.out / "test.parquet")
    print(f"{len(kept)} playlists to learn from, {len(held)} to continue")


def read_playlists(path: Path) -> tuple[list[str], Lists]:
    table = pq.read_table(path, columns=["playlist_id", "track_ids"])
    return table["playlist_id"].to_pylist(), [tracks or [] for tracks in table["track_ids"].to_pylist()]


def read_mpd(folder: Path, out: Path) -> tuple[list[str], Lists]:
    """Read the slices of the Million Playlist Dataset, and write its tracks to ``OUT/tracks.parquet``."""
    ids, lists, tracks = [], [], {}
    for playlist in mpd_playlists(folder):
        ids.append(str(playlist["pid"]))
        lists.append([track["track_uri"] for track in playlist["tracks"]])
        for track in playlist["tracks"]:
            tracks[track["track_uri"]] = (track["track_name"], track["artist_name"], track["album_name"])
    names = zip(("title", "artist", "album"), zip(*tracks.values(), strict=True), strict=True)
    pq.write_table(pa.table({"track_id": list(tracks), **{n: list(v) for n, v in names}}), out / "tracks.parquet")
    return ids, lists


def mpd_playlists(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the playlists of all slices, in order of their numbers."""
    paths = sorted(folder.glob("mpd.slice.*.json"), key=lambda path: int(path.name.split(".")[2].split("-")[0]))
    for path in paths:
        yield from json.loads(path.read_text(encoding="utf-8"))["playlists"]


def compare(arguments: argparse.Namespace) -> None:
    """Rank with all methods and print the table."""
    split = read_split(arguments.out, arguments.test)
    tokens = CatalogTokens.open(arguments.store)
    order = sorted(split.counts, key=lambda track: (-split.counts[track], track))
    items = Items(split, order)
    unknown = sum(target not in items.numbers for target in split.targets)
    print(f"{len(split.targets)} targets, {unknown} in no training playlist; {len(order)} tracks in training playlists")
    print(f"{len(tokens)} tracks, {100 * conflicts(tokens):.2f} % share their tuple; release {tokens.release_id}\n")
    print("| method | MRR % | Recall@1 % | Recall@10 % | Recall@20 % | s |\n|---|---|---|---|---|---|")
    methods: list[tuple[str, Any]] = [
        ("popularity", lambda: popularity(items)),
        ("item-kNN", lambda: item_knn(items)),
        ("ALS", lambda: als(items, even=False)),
        ("ALS, even", lambda: als(items, even=True)),
        ("affinity", lambda: affinity(items, tokens)),
    ]
    for seed in range(arguments.seeds):
        methods.append((f"SASRec, seed {seed}", lambda seed=seed: sasrec(items, seed, arguments.epochs)))
        methods.append(
            (
                f"tokens, seed {seed}",
                lambda seed=seed: token_decoder(items, tokens, seed, arguments.epochs, arguments.beams),
            )
        )
    for name, rank in methods:
        start = time.perf_counter()
        rankings = rank()
        if rankings is not None:
            print(measure(name, rankings, split, time.perf_counter() - start).row(), flush=True)


def read_split(out: Path, most: int | None) -> Split:
    train = [tracks or [] for tracks in pq.read_table(out / "train.parquet")["track_ids"].to_pylist()]
    test = pq.read_table(out / "test.parquet")
    if most is not None and most < test.num_rows:
        test = test.take(pa.array(np.sort(np.random.default_rng(0).choice(test.num_rows, most, replace=False))))
    return Split(train, test["track_ids"].to_pylist(), test["target"].to_pylist())


def read_tuples(tokens: CatalogTokens) -> pa.ListArray:
    """Read the track ids of each distinct tuple."""
    return pq.read_table(tokens.folder / "tuples.parquet", columns=["track_ids"])["track_ids"].combine_chunks()


def conflicts(tokens: CatalogTokens) -> float:
    """Share of the tracks whose tuple is not theirs alone."""
    sizes = np.diff(read_tuples(tokens).offsets.to_numpy())
    return float(sizes[sizes > 1].sum() / max(sizes.sum(), 1))


def measure(name: str, rankings: Sequence[Ranking], split: Split, seconds: float) -> Result:
    ranks = [
        ranking.index(target) + 1 if target in ranking else 0
        for ranking, target in zip(rankings, split.targets, strict=True)
    ]
    return Result(name, np.array(ranks), seconds)


class Items:
    """Tracks of the training playlists, numbered by popularity, and the playlists as numbers."""

    def __init__(self, split: Split, order: list[str]) -> None:
        from scipy.sparse import csr_matrix

        self.order = order
        self.numbers = {track: number for number, track in enumerate(order)}
        self.split = split
        self.train = [self.of(tracks) for tracks in split.train]
        self.contexts = [self.of(tracks) for tracks in split.contexts]
        self.counts = np.array([split.counts[track] for track in order], np.float64)
        self.playlists: Any = csr_matrix(
            (
                np.ones(sum(map(len, self.train)), np.float32),
                np.concatenate(self.train),
                np.cumsum([0, *map(len, self.train)]),
            ),
            shape=(len(self.train), len(order)),
        )

    def of(self, tracks: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the numbers of the tracks that have one."""
        return np.array([self.numbers[track] for track in tracks if track in self.numbers], np.int64)

    def best(self, scores: npt.NDArray[np.floating[Any]], context: npt.NDArray[np.int64]) -> Ranking:
        """Rank the tracks that are not in the context; of equal scores the more popular is first."""
        scores = scores.astype(np.float64)
        scores[context] = -np.inf
        most = min(FIRST, len(scores))
        bound = np.partition(scores, len(scores) - most)[len(scores) - most]
        candidates = np.flatnonzero((scores >= bound) & (scores > -np.inf))
        chosen = candidates[np.argsort(-scores[candidates], kind="stable")][:FIRST]
        return [self.order[number] for number in chosen.tolist()]


def popularity(items: Items) -> list[Ranking]:
    return [items.best(items.counts, context) for context in items.contexts]


def item_knn(items: Items) -> list[Ranking]:
    scorer = ItemKnnScorer(items.playlists)
    return [items.best(scorer.scores(context), context) for context in items.contexts]


def als(items: Items, even: bool) -> list[Ranking] | None:
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        print("| ALS | `implicit` is not installed | | | | |")
        return None
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    one_confidence = {} if even else {"regularization": 0.01, "popularity_exponent": 0.0}
    config = AlsConfig(**one_confidence)
    entries = confidences(items.playlists, config)
    weights = entries.max(axis=0).toarray().ravel()
    rankings = []
    with threadpool_limits(1):
        model = AlternatingLeastSquares(
            config.dim,
            regularization=config.regularization,
            iterations=config.iterations,
            random_state=0,
            num_threads=1,
        )
        model.fit(entries, show_progress=False)
        for context in items.contexts:
            held = csr_matrix((weights[context], (np.zeros_like(context), context)), shape=(1, len(items.order)))
            rankings.append(items.best(model.item_factors @ model.recalculate_user(0, held).ravel(), context))
    return rankings


def affinity(items: Items, tokens: CatalogTokens) -> list[Ranking]:
    """Rank the tracks of the release and of the training playlists by affinities of codes."""
    others = sorted({track for tracks in read_tuples(tokens).to_pylist() for track in tracks} - set(items.order))
    every = replace(items.split, train=[*items.split.train, *([track] for track in others)])
    extended = Items(every, [*items.order, *others])
    none = np.full(len(MODALITIES), NONE, np.int16)
    rows = [tokens.codes_of(track)[: len(MODALITIES)] if track in tokens else none for track in extended.order]
    codes = np.array(rows)
    counts = np.concatenate([items.counts, np.zeros(len(others))])
    training = extended.playlists[: len(items.train)].astype(np.float64)
    features = CodeAffinities(codes, learn_affinities(codes.T, training, counts), counts)
    scorer = WeightedScorer(features, features.weights)
    return [extended.best(scorer.scores(context), context) for context in items.contexts]


def windows(lists: Sequence[Sequence[Any]], draw: np.random.Generator, length: int) -> list[Sequence[Any]]:
    """Cut lists into windows of up to ``length`` entries, from a random start, in random order."""
    parts = []
    for entries in lists:
        start = int(draw.integers(0, length)) if len(entries) > length else 0
        bounds = sorted({0, *range(start, len(entries), length), len(entries)})
        parts += [entries[a:b] for a, b in pairwise(bounds) if b - a > 1]
    return [parts[number] for number in draw.permutation(len(parts))]


def padded_batches(parts: Sequence[Sequence[Any]], size: int, pad: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield batches of parts of similar length, padded on the right: int64 (rows, longest)."""
    for first in range(0, len(parts), 50 * size):
        group = sorted(parts[first : first + 50 * size], key=len)
        for start in range(0, len(group), size):
            rows = group[start : start + size]
            batch = np.full((len(rows), max(map(len, rows))), pad, np.int64)
            for row, part in zip(batch, rows, strict=True):
                row[: len(part)] = part
            yield batch


def sasrec(items: Items, seed: int, epochs: int) -> list[Ranking]:
    """Train a causal transformer over ids (Kang and McAuley, 2018), with cross entropy over all ids."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    pad, dim = len(items.order), 64
    embed = nn.Embedding(pad + 1, dim, padding_idx=pad)
    nn.init.normal_(embed.weight, std=0.02)
    position = nn.Parameter(torch.randn(CONTEXT + 1, dim) * 0.02)
    layer = nn.TransformerEncoderLayer(dim, 2, 4 * dim, 0.2, "gelu", batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(dim), enable_nested_tensor=False)
    modules = nn.ModuleList([embed, encoder])
    optimizer = torch.optim.AdamW([*modules.parameters(), position], 2e-3, weight_decay=0.05)

    def states(ids: "torch.Tensor") -> "torch.Tensor":
        length = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        found: torch.Tensor = encoder(embed(ids) + position[:length], mask=mask, is_causal=True)
        return found

    modules.train()
    for _ in range(epochs):
        for batch in padded_batches(windows(items.train, draw, CONTEXT + 1), 64, pad):
            ids = torch.from_numpy(batch)
            known = ids[:, 1:] != pad
            logits = states(ids[:, :-1])[known] @ embed.weight[:pad].T
            loss = nn.functional.cross_entropy(logits, ids[:, 1:][known])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    modules.eval()
    rankings: list[Ranking] = []
    with torch.no_grad():
        for context in items.contexts:
            seen = context[-CONTEXT:] if len(context) else np.array([pad])
            scores = states(torch.from_numpy(seen)[None])[0, -1] @ embed.weight[:pad].T
            rankings.append(items.best(scores.numpy(), context))
    return rankings


def token_decoder(items: Items, tokens: CatalogTokens, seed: int, epochs: int, beams: int) -> list[Ranking]:
    """Train a causal transformer over ``<|track|>`` and the tokens of each track, and continue by beam search."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    vocabulary = read_vocabulary(tokens)
    pad, width = len(vocabulary), len(tokens.columns) + 1
    config = LlamaConfig(
        vocab_size=pad + 1,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=(CONTEXT + 1) * width + 1,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=None,
        eos_token_id=None,
        attention_dropout=0.1,
    )
    model = LlamaForCausalLM(config)
    texts = track_texts(items, tokens, vocabulary)
    lists = [[texts[track] for track in playlist if track in texts] for playlist in items.split.train]
    steps = epochs * sum(1 for _ in padded_batches(flat(windows(lists, draw, CONTEXT + 1)), 32, pad))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps + 10 * epochs)
    model.train()
    for _ in range(epochs):
        for batch in padded_batches(flat(windows(lists, draw, CONTEXT + 1)), 32, pad):
            ids = torch.from_numpy(batch)
            loss = model(ids, labels=torch.where(ids == pad, -100, ids)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return write_tracks(items, tokens, model, vocabulary, texts, beams)


def read_vocabulary(tokens: CatalogTokens) -> dict[str, int]:
    """Number the tokens of the release in their fixed order."""
    added = json.loads((tokens.folder.parent / "vocabulary" / "added_tokens.json").read_bytes())
    return {name: number for number, name in enumerate(added)}


def track_texts(items: Items, tokens: CatalogTokens, vocabulary: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the ids of ``<|track|>`` and a track's tokens, for each track of the playlists that the release has."""
    known = {track for part in (items.split.train, items.split.contexts) for tracks in part for track in tracks}
    return {
        track: [
            vocabulary["<|track|>"],
            *(vocabulary[f"{part}|>"] for part in tokens.tokens_of(track).split("|>")[:-1]),
        ]
        for track in known
        if track in tokens
    }


def flat(parts: Sequence[Sequence[list[int]]]) -> list[list[int]]:
    return [[token for track in part for token in track] for part in parts]


def write_tracks(
    items: Items,
    tokens: CatalogTokens,
    model: Any,
    vocabulary: Mapping[str, int],
    texts: Mapping[str, list[int]],
    beams: int,
) -> list[Ranking]:
    """Write the most likely tuples under the constraint, and look up their tracks."""
    import torch

    names = list(vocabulary)
    constraint = tokens.constraint(vocabulary)
    contexts = [[texts[track] for track in tracks if track in texts] for tracks in items.split.contexts]
    prompts = flat([tracks[-CONTEXT:] for tracks in contexts])
    rankings: list[Ranking] = [[] for _ in prompts]
    by_length: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(number)
    for numbers in by_length.values():
        for first in range(0, len(numbers), 16):
            part = numbers[first : first + 16]
            ids = torch.tensor([[*prompts[number], vocabulary["<|track|>"]] for number in part])
            written = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                num_beams=beams,
                num_return_sequences=beams,
                max_new_tokens=len(tokens.columns),
                do_sample=False,
                logits_processor=[constraint],
            )
            tuples = written[:, ids.shape[1] :].reshape(len(part), beams, -1).tolist()
            for number, found in zip(part, tuples, strict=True):
                rankings[number] = tracks_of(items, tokens, found, names, items.split.contexts[number])
    return rankings


def tracks_of(
    items: Items, tokens: CatalogTokens, tuples: list[list[int]], names: list[str], context: Sequence[str]
) -> Ranking:
    """List the tracks of the tuples in order; those of one tuple by the number of training playlists."""
    ranking: Ranking = []
    for ids in tuples:
        tracks = tokens.lookup("".join(names[number] for number in ids))
        ranking += sorted(tracks, key=lambda track: items.numbers.get(track, len(items.order)))
    return [track for track in dict.fromkeys(ranking) if track not in set(context)][:FIRST]


if __name__ == "__main__":
    main()
