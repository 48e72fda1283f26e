"""Compare tracks by the recommender with `generate`, with the catalog's constraint and without, in time and existence.

    python benchmarks/bench_recommending.py MODEL --store STORE --test TALKS.jsonl [--turns 20] [--beams 10]

All sides continue the same turns with a track, in turn, in float32: `generate` gets the recommender's prompt and
``<|track|>``. Of what `generate` writes without the constraint, the share that is a tuple of the catalog is printed, of
all beams and of the best ones, and the share that is five tokens in token order at all.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracktokens.codebooks.decoding.catalog_constraint import TokenIds
from tracktokens.serving.catalog_tokens import CatalogTokens
from tracktokens.serving.generation.load_model import load_model
from tracktokens.serving.generation.precision import FLOAT32, move_to_device
from tracktokens.serving.generation.prompt import PromptWriter
from tracktokens.serving.generation.recommender import Recommender


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--store", required=True)
    parser.add_argument("--test", required=True, help="conversations, JSON Lines")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--beams", type=int, default=10)
    arguments = parser.parse_args()
    catalog = CatalogTokens.open(arguments.store)
    model, tokenizer = load_model(arguments.model)
    model = move_to_device(model, "cpu", FLOAT32)
    recommender = Recommender(model, tokenizer, catalog)
    writer, ids = PromptWriter(tokenizer, catalog, 2048), TokenIds(tokenizer.get_vocab(), catalog.token_format)
    constraint = catalog.constraint(tokenizer)
    seconds: dict[str, list[float]] = defaultdict(list)
    found = []
    for messages in islice(turns(Path(arguments.test)), arguments.turns):
        prompt = [*writer.write(messages, 16).ids, ids.start]
        with timed(seconds["recommender"]):
            recommender.recommend(messages, arguments.beams, beams=arguments.beams, max_new_tokens=0)
        with timed(seconds["generate, constrained"]):
            generate(model, prompt, ids, arguments.beams, [constraint])
        with timed(seconds["generate, free"]):
            written = generate(model, prompt, ids, arguments.beams, [])
        found.append([[len(codes) > 0, len(codes) > 0 and bool(catalog.lookup(codes))] for codes in written])
    for name, taken in seconds.items():
        print(
            f"{name}: {np.median(taken):.2f} s of CPU per reply, {np.percentile(taken, 95):.2f} at the 95th percentile"
        )
    shares = np.array(found, float)  # (turns, beams, [in token order, in the catalog])
    for name, part in (("all beams", shares), ("best beam", shares[:, :1])):
        ordered, exists = part.mean(axis=(0, 1))
        print(f"without the constraint, {name}: {ordered:.3f} are tokens in order, {exists:.3f} are in the catalog")


@contextmanager
def timed(taken: list[float]) -> Iterator[None]:
    """Add the seconds of CPU of a block to a list."""
    start = time.process_time()
    yield
    taken.append(time.process_time() - start)


def turns(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the messages before the last reply of each conversation."""
    for line in path.read_text().splitlines():
        messages = json.loads(line)["messages"]
        last = max(number for number, message in enumerate(messages) if message["role"] == "assistant")
        yield messages[:last]


def generate(model: Any, prompt: list[int], ids: TokenIds, beams: int, processors: list[Any]) -> list[tuple[int, ...]]:
    """Write one tuple per beam: its codes, the best first; none where the tokens are not a tuple."""
    with torch.no_grad():
        written = model.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            logits_processor=processors,
            num_beams=beams,
            num_return_sequences=beams,
            do_sample=False,
            min_new_tokens=len(ids.codes),
            max_new_tokens=len(ids.codes),
            pad_token_id=0,
        )
    codes = [ids.read(row) for row in written[:, len(prompt) :].numpy()]
    return [() if row is None else tuple(row.tolist()) for row in codes]


if __name__ == "__main__":
    main()
