"""Compare the text encoder with plain ``SentenceTransformer.encode`` on the same texts, and its backends with torch.

    python benchmarks/bench_text.py [--tracks TRACKS.parquet] [--threads 1]
    python benchmarks/bench_text.py --backends [--tracks TRACKS.parquet] [--codebooks STORE/codebooks/BUNDLE]

All sides take turns on parts of the texts, so that a busy machine slows all of them. The first ratio is the median wall
time over the parts; the second is total processor time, which other processes disturb less.

``--backends`` also counts texts with the same token as with torch in float32: from the codebooks of ``--codebooks``, or
from codebooks of 1,024 codes trained here on those texts' vectors.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from result_table import Result, record

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.training.fit import fit_codebook
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.lyrics import lyrics_text
from tracktokens.transforms.catalog.texts import metadata_text, tags_text
from tracktokens.transforms.encoders.text.sentence import (
    AUTO,
    BFLOAT16,
    FLOAT32,
    INT8,
    ONNX,
    OPENVINO,
    TORCH,
    LoadedSentenceEncoder,
    sentence_encoder,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

METADATA_TEXTS = 2000
LYRICS_TEXTS = 100
SYLLABLES = ("la", "na", "mo", "ri", "ve", "so", "ta", "lu", "ka", "sha", "dor", "min", "fel", "ray", "ston", "ther")
CHUNKS = 6
PLAIN_BATCH = 32
"""Default of ``encode``."""
BACKENDS = [
    (TORCH, FLOAT32),
    (AUTO, FLOAT32),
    (TORCH, BFLOAT16),
    (ONNX, FLOAT32),
    (ONNX, INT8),
    (OPENVINO, FLOAT32),
    (OPENVINO, INT8),
]
CODES = 1024


def main() -> None:
    arguments = parse_arguments()
    tracks = read_tracks(arguments.tracks) if arguments.tracks else synthesised_tracks()
    metadata = sample(metadata_text(tracks), METADATA_TEXTS)
    lyrics = sample(lyrics_text(tracks), LYRICS_TEXTS)
    if arguments.backends:
        compare_backends("metadata", metadata, arguments)
        compare_backends("lyrics", lyrics, arguments)
        return
    time_texts(tracks)
    encoder = sentence_encoder(device="cpu").load(arguments.threads)
    plain = sentence_encoder(device="cpu", backend=TORCH).load(arguments.threads).model.transformer
    encoder.encode(lyrics.slice(0, 4))  # the first passes are slower
    plain.encode(lyrics.slice(0, 4).to_pylist())
    compare("metadata", encoder, plain, metadata, same_pieces=False)
    compare("tags", encoder, plain, sample(tags_text(tracks), METADATA_TEXTS // 2), same_pieces=False)
    compare("lyrics, plain on the same pieces", encoder, plain, lyrics, same_pieces=True)
    compare("lyrics, plain cuts them off", encoder, plain, lyrics, same_pieces=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=Path, help="a tracks file (Parquet); without it, texts are synthesised")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backends", action="store_true", help="compare backends and precisions on this CPU")
    parser.add_argument("--codebooks", type=Path, help="folder of a bundle, for --backends")
    return parser.parse_args()


def read_tracks(path: Path) -> pa.RecordBatch:
    table = pq.read_table(path).combine_chunks()
    return table.to_batches()[0]


def synthesised_tracks(rows: int = 20_000, seed: int = 5) -> pa.RecordBatch:
    draw = random.Random(seed)

    def words(low: int, high: int) -> str:
        return " ".join("".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(draw.randint(low, high)))

    def track(row: int) -> dict[str, object]:
        lyrics = "\n".join(words(4, 9) for _ in range(draw.randint(10, 60))) if row % 50 == 0 else None
        tags = [words(1, 2) for _ in range(draw.randint(0, 8))]
        names = {name: words(1, 4) for name in ("title", "artist", "album")}
        return {"track_id": str(row), **names, "year": draw.randint(1950, 2025), "tags": tags, "lyrics": lyrics}

    return pa.RecordBatch.from_pylist([track(row) for row in range(rows)], TRACKS)


def sample(texts: pa.StringArray, count: int, seed: int = 5) -> pa.StringArray:
    distinct = texts.drop_null().unique()
    return distinct.take(pa.array(random.Random(seed).sample(range(len(distinct)), min(count, len(distinct)))))


def time_texts(tracks: pa.RecordBatch) -> None:
    for text in (metadata_text, tags_text, lyrics_text):
        seconds = timed(partial(text, tracks)).wall
        print(f"{text.__name__}: {len(tracks) / seconds:,.0f} tracks/s")


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: wall time, and processor time of all threads."""

    wall: float
    processor: float


def compare(
    label: str, encoder: LoadedSentenceEncoder, plain: "SentenceTransformer", texts: pa.StringArray, same_pieces: bool
) -> None:
    """Time our encoder and the plain model on the same texts, or on the chunks that our encoder makes of them."""
    ours, theirs = [], []
    size = -(-len(texts) // CHUNKS)
    for number, chunk in enumerate(texts.slice(start, size) for start in range(0, len(texts), size)):
        plain_texts = chunk.to_pylist()
        if same_pieces:
            plain_texts = [part.text for parts in encoder.chunks(plain_texts) for part in parts]
        sides = [
            (ours, partial(encoder.encode, chunk)),
            (theirs, partial(plain.encode, plain_texts, batch_size=PLAIN_BATCH)),
        ]
        for timings, work in sides if number % 2 else reversed(sides):
            timings.append(timed(work))
    report(label, len(texts), ours, theirs)


def report(label: str, texts: int, ours: list[Timing], theirs: list[Timing]) -> None:
    our_rate, their_rate = (texts / sum(timing.wall for timing in side) for side in (ours, theirs))
    wall, processor = speedup(ours, theirs)
    print(f"{label}, {texts} texts: ours {our_rate:.1f}/s, plain {their_rate:.1f}/s,", end=" ")
    print(f"ratio {wall:.3f} by the clock, {processor:.3f} by processor time", flush=True)
    unit = "ms of processor a text"
    our_cost, their_cost = (1000 * sum(timing.processor for timing in side) / texts for side in (ours, theirs))
    record(Result("text", label, our_cost, their_cost, unit, "SentenceTransformer.encode"))


def speedup(side: list[Timing], baseline: list[Timing]) -> tuple[float, float]:
    """Speed of a side relative to the baseline: by wall time, and by processor time."""
    wall = statistics.median(slow.wall / fast.wall for fast, slow in zip(side, baseline, strict=True))
    return wall, sum(timing.processor for timing in baseline) / sum(timing.processor for timing in side)


def compare_backends(modality: str, texts: pa.StringArray, arguments: argparse.Namespace) -> None:
    """Time every backend and precision on texts against torch in float32, and count equal tokens."""
    described = [
        sentence_encoder(backend=backend, precision=precision, device="cpu") for backend, precision in BACKENDS
    ]
    timings, vectors = take_turns([encoder.load(arguments.threads) for encoder in described], texts)
    if arguments.codebooks:
        codebook = Codebook.from_bytes((arguments.codebooks / f"{modality}.safetensors").read_bytes())
    else:
        encoder_id = described[0].encoder_id
        codebook = fit_codebook(vectors[0], modality=modality, encoder_id=encoder_id, codebook_size=CODES).codebook
    tokens = [assign(codebook, found).codes for found in vectors]
    print(
        f"{modality}, {len(texts)} texts, {codebook.num_centroids} codes, {arguments.threads} threads; against float32:"
    )
    for row, (backend, precision) in enumerate(BACKENDS):
        wall, processor = speedup(timings[row], timings[0])
        equal = float((tokens[row] == tokens[0]).mean())
        cosine = float((unit(vectors[row]) * unit(vectors[0])).sum(axis=1).min())
        print(
            f"  {backend:8} {precision:8} {wall:.2f} times as fast by the clock, {processor:.2f} by processor time",
            end="",
        )
        print(f", {equal:.2%} equal tokens, least cosine {cosine:.4f}", flush=True)


def unit(vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    wide = vectors.astype(np.float32)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), np.float32)


def take_turns(
    encoders: list[LoadedSentenceEncoder], texts: pa.StringArray
) -> tuple[list[list[Timing]], list[npt.NDArray[np.float16]]]:
    """Let encoders take turns on parts of the texts; return the timings and stored vectors of each."""
    timings: list[list[Timing]] = [[] for _ in encoders]
    vectors: list[list[npt.NDArray[np.float16]]] = [[] for _ in encoders]

    def work(side: int, chunk: pa.StringArray) -> None:
        vectors[side].append(encoders[side].encode(chunk).vectors.astype(np.float16))

    for encoder in encoders:
        encoder.encode(texts.slice(0, 64))  # the first passes are slower
    for number in range(CHUNKS):
        chunk = texts.take(pa.array(range(number, len(texts), CHUNKS)))
        sides = range(len(encoders))
        for side in sides if number % 2 else reversed(sides):
            timings[side].append(timed(partial(work, side, chunk)))
    return timings, [np.concatenate(parts) for parts in vectors]


def timed(work: Callable[[], object]) -> Timing:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Timing(time.perf_counter() - wall, time.process_time() - processor)


if __name__ == "__main__":
    main()
