"""What the piece rule costs: our text encoder against plain ``SentenceTransformer.encode`` on the same texts.

    python benchmarks/bench_text.py [--tracks TRACKS.parquet] [--threads 1]

Both sides share one loaded model and take turns on parts of the texts, so that a busy machine slows both. The first
ratio is the median over the parts of plain's wall time to ours; the second one is of all the processor time, which
other processes disturb less.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.schemas.tracks import TRACKS
from tracktokens.transforms.encoders.sentence import BATCH_SIZE, LoadedSentenceEncoder, sentence_encoder
from tracktokens.transforms.texts import lyrics_text, metadata_text, tags_text

METADATA_TEXTS = 1500
LYRICS_TEXTS = 60
SYLLABLES = ("la", "na", "mo", "ri", "ve", "so", "ta", "lu", "ka", "sha", "dor", "min", "fel", "ray", "ston", "ther")
CHUNKS = 6


def main() -> None:
    arguments = parse_arguments()
    tracks = read_tracks(arguments.tracks) if arguments.tracks else synthesised_tracks()
    time_texts(tracks)
    encoder = sentence_encoder().load(arguments.threads)
    lyrics = sample(lyrics_text(tracks), LYRICS_TEXTS)
    encoder.encode(lyrics.slice(0, 4))  # the first passes are slower
    compare("metadata", encoder, sample(metadata_text(tracks), METADATA_TEXTS), same_pieces=False)
    compare("lyrics, plain on the same pieces", encoder, lyrics, same_pieces=True)
    compare("lyrics, plain cuts them off", encoder, lyrics, same_pieces=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=Path, help="a tracks file (Parquet); without it, texts are synthesised")
    parser.add_argument("--threads", type=int, default=1)
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
    """Seconds of one call: by the clock, and of processor time in all threads."""

    wall: float
    processor: float


def compare(label: str, encoder: LoadedSentenceEncoder, texts: pa.StringArray, same_pieces: bool) -> None:
    """Time ours on texts against the plain model on the same, or on the pieces that ours makes of them."""
    ours, theirs = [], []
    size = -(-len(texts) // CHUNKS)
    for number, chunk in enumerate(texts.slice(start, size) for start in range(0, len(texts), size)):
        plain_texts = chunk.to_pylist()
        if same_pieces:
            plain_texts = [piece.text for pieces in encoder.pieces(plain_texts) for piece in pieces]
        sides = [
            (ours, partial(encoder.encode, chunk)),
            (theirs, partial(encoder.transformer.encode, plain_texts, batch_size=BATCH_SIZE)),
        ]
        for timings, work in sides if number % 2 else reversed(sides):
            timings.append(timed(work))
    report(label, len(texts), ours, theirs)


def report(label: str, texts: int, ours: list[Timing], theirs: list[Timing]) -> None:
    our_rate, their_rate = (texts / sum(timing.wall for timing in side) for side in (ours, theirs))
    wall = statistics.median(plain.wall / own.wall for own, plain in zip(ours, theirs, strict=True))
    processor = sum(timing.processor for timing in theirs) / sum(timing.processor for timing in ours)
    print(f"{label}, {texts} texts: ours {our_rate:.1f}/s, plain {their_rate:.1f}/s,", end=" ")
    print(f"ratio {wall:.3f} by the clock, {processor:.3f} by processor time", flush=True)


def timed(work: Callable[[], object]) -> Timing:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Timing(time.perf_counter() - wall, time.process_time() - processor)


if __name__ == "__main__":
    main()
