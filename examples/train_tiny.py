r"""Teach a tiny Llama the tokens of a release, and ask it for music in held-out conversations.

    make demo
    .venv/bin/python examples/train_tiny.py --store demo/store \
        --conversations demo/catalog/conversations.jsonl --out demo/tiny --seeds 3

The steps are those for a large model; only the sizes differ:

1. A language model without the tokens. Here a small one is trained on the same music in plain words, so that its
   embedding rows are meaningful; in practice this is your model.
2. ``tracktokens vocabulary apply`` adds the tokens, with an ``--init``.
3. Fine-tuning on the lines of ``tracktokens render tracks``, name to tokens and tokens to name, and on those of
   ``tracktokens render conversations``. The loss covers the assistant's messages, which the chat template marks.
4. Held-out conversations are answered. The model writes its answer up to the first track. Then beams under
   ``CatalogConstraint`` write the most likely token tuples, and ``TokenIndex`` looks up their tracks; of tracks with
   the same tuple, the first in its order counts. Ten tracks are compared with the assistant's recommendation. The same
   beams without the constraint show its effect.

Conversations are split before any training. A held-out request is dropped if a training conversation has the same
request after the same turns.
"""

import argparse
import json
import logging
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint, TokenIds
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.numerics.arrays import CodeTuple
from tracktokens.codebooks.tokens.rendering import MENTION
from tracktokens.pipelines.llm.extend_model import apply_to_folder, read_token_release
from tracktokens.pipelines.llm.initial_rows import CENTROID, INITS, MEAN, TEXT
from tracktokens.pipelines.llm.render import render_conversations, render_tracks
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import published_release

Chat = list[dict[str, Any]]
"""Messages with ``role`` and ``content``."""

END, PAD, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}<|end|>{% endgeneration %}{% else %}{{ message.content }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Template that turns a chat into one text. ``generation`` marks the parts that the loss covers."""

UNLEARNED = -100
"""Label of a token without loss."""

HELD_OUT = 0.2
"""Share of the conversations that are held out."""

TOP = 10
"""Tracks that answer a request."""

BEAMS = 20

FREE = 100
"""Number of requests that are also answered without the constraint."""

OPENING = 24
"""Maximum number of tokens of an answer before its first track."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the model and number of training steps; a step is a batch."""

    words: int = 1_500
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    batch: int = 32
    base_steps: int = 200
    steps: int = 600
    early: int = 50
    rate: float = 2e-3


@dataclass(frozen=True)
class Request:
    """A request to the model, and the assistant's answer.

    Attributes:
        context: messages before the answer, with tokens.
        answer: the assistant's message, with tokens.
        named: ids of the tracks that were named earlier. They are not recommended again.
        truth: ids of the tracks of the answer.
    """

    context: Chat
    answer: dict[str, Any]
    named: frozenset[str]
    truth: frozenset[str]


@dataclass(frozen=True)
class Texts:
    """Texts for training, and requests.

    Attributes:
        plain: names of tracks and the training conversations, without tokens.
        tracks: chats from name to tokens, and from tokens to name.
        conversations: the training conversations with tokens.
        requests: requests of the training conversations.
        held_out: requests of the held-out conversations that no training conversation contains.
    """

    plain: list[Chat]
    tracks: list[Chat]
    conversations: list[Chat]
    requests: list[Request]
    held_out: list[Request]


@dataclass(frozen=True)
class Recommendations:
    """Recommendations of a model.

    Attributes:
        tracks: ids of up to ten tracks per request, the best first.
        tuples: number of token tuples that it wrote, complete or not.
        existing: number of them that belong to a track.
    """

    tracks: list[list[str]]
    tuples: int
    existing: int

    @property
    def share(self) -> float:
        """Share of the tuples that belong to a track."""
        return self.existing / self.tuples


@dataclass(frozen=True)
class Result:
    """Result of a training.

    Attributes:
        early, final: loss of the answers to held-out requests after the first steps, and at the end.
        written: answers to all held-out requests.
        free: answers to the first of them, without the constraint.
        seconds: duration of adding tokens and fine-tuning.
    """

    early: float
    final: float
    written: Recommendations
    free: Recommendations
    seconds: float


# Texts


def read_texts(store: str, conversations: Path, out: Path, seed: int = 0) -> Texts:
    """Render tracks and conversations into ``out``, and split the conversations."""
    render_tracks(store, str(out / "tracks.jsonl"))
    render_conversations(store, str(conversations), str(out / "conversations.jsonl"))
    tracks, talks = _read(out / "tracks.jsonl"), _talks(conversations, out / "conversations.jsonl")
    random.Random(seed).shuffle(talks)
    count = round(HELD_OUT * len(talks))
    held_out, training = talks[:count], talks[count:]
    asked = [request for talk in training for request in requests(*talk)]
    known = {_key(request) for request in asked}
    new = [request for talk in held_out for request in requests(*talk) if _key(request) not in known]
    names = {track["track_id"]: track["prompt"][0]["content"] for track in tracks}
    plain = [[_message("assistant", name)] for name in names.values()] + [in_words(raw, names) for raw, _ in training]
    return Texts(plain, [chat for t in tracks for chat in both_ways(t)], [chat for _, chat in training], asked, new)


def requests(raw: Chat, rendered: Chat) -> Iterator[Request]:
    """Yield a request for each answer of a conversation that names tracks."""
    named: set[str] = set()
    for index, message in enumerate(raw):
        tracks = {*MENTION.findall(message["content"]), *message.get("tracks", [])}
        if message["role"] == "assistant" and tracks:
            yield Request(rendered[:index], rendered[index], frozenset(named), frozenset(tracks))
        named |= tracks


def in_words(raw: Chat, names: dict[str, str]) -> Chat:
    """Replace the tracks of a conversation by titles and artists."""
    contents = (MENTION.sub(lambda mention: names[mention[1]], message["content"]) for message in raw)
    beside = ([names[track] for track in message.get("tracks", [])] for message in raw)
    texts = (" ".join(filter(None, [content, *after])) for content, after in zip(contents, beside, strict=True))
    return [_message(message["role"], content) for message, content in zip(raw, texts, strict=True)]


def both_ways(track: dict[str, Any]) -> list[Chat]:
    """Write two chats: from a track's name to its tokens, and from its tokens to its name."""
    name, tokens = (track[part][0]["content"] for part in ("prompt", "completion"))
    pairs = ((f"Find {name}", tokens), (f"What is {tokens}", name))
    return [[_message("user", asked), _message("assistant", answer)] for asked, answer in pairs]


def _talks(raw: Path, rendered: Path) -> list[tuple[Chat, Chat]]:
    """Pair conversations before and after rendering, without rejected ones."""
    rejected = {reject["line"] for reject in _read(Path(f"{rendered}.rejects"))}
    lines = {number: line for number, line in enumerate(raw.read_bytes().splitlines(), 1) if line.strip()}
    kept = [json.loads(line)["messages"] for number, line in lines.items() if number not in rejected]
    return list(zip(kept, (talk["messages"] for talk in _read(rendered)), strict=True))


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _key(request: Request) -> str:
    """Key that is equal for equal requests after equal turns."""
    return json.dumps(request.context)


# Model


def make_base(chats: Sequence[Chat], folder: Path, sizes: Sizes, seed: int) -> None:
    """Train a tokenizer and a model on plain chats, and save both: a model without the tokens."""
    tokenizer = make_tokenizer(chats, sizes.words)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.hidden,
            intermediate_size=3 * sizes.hidden,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    examples = [encode(tokenizer, chat, whole=True) for chat in chats]
    train(model, examples, sizes.base_steps, sizes, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(chats: Sequence[Chat], words: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the messages, with a chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special, alphabet = [PAD, END, USER, ASSISTANT], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=words, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator((message["content"] for chat in chats for message in chat), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=PAD)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


Example = tuple[list[int], list[int]]
"""Ids of a chat, and its labels."""


def encode(tokenizer: Any, chat: Chat, whole: bool = False) -> Example:
    """Encode a chat as ids and labels; labels cover the assistant's messages, or the whole chat."""
    encoded = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    ids, assistant = encoded["input_ids"], encoded["assistant_masks"]
    return ids, [number if is_label or whole else UNLEARNED for number, is_label in zip(ids, assistant, strict=True)]


def train(
    model: PreTrainedModel,
    examples: Sequence[Example],
    steps: int,
    sizes: Sizes,
    seed: int,
    watch: Callable[[int], None] = lambda step: None,
) -> None:
    """Train with AdamW: a tenth of the steps to warm up, then a cosine decay. ``watch`` is called after each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, sizes.rate, total_steps=steps, pct_start=0.1)
    for step, batch in zip(range(1, steps + 1), _batches(examples, sizes.batch, seed), strict=False):
        model.train()
        _loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        watch(step)


@torch.no_grad()
def loss_of(model: PreTrainedModel, examples: Sequence[Example], batch: int = 64) -> float:
    """Mean loss of the labels."""
    model.eval()
    parts = [examples[start : start + batch] for start in range(0, len(examples), batch)]
    counts = [sum(label != UNLEARNED for _, labels in part for label in labels) for part in parts]
    losses = [float(_loss(model, part)) for part in parts]
    return float(np.average(losses, weights=counts))


def _loss(model: PreTrainedModel, batch: Sequence[Example]) -> torch.Tensor:
    length, pad = max(len(ids) for ids, _ in batch), model.config.pad_token_id
    ids = torch.tensor([[*ids, *[pad] * (length - len(ids))] for ids, _ in batch])
    labels = torch.tensor([[*labels, *[UNLEARNED] * (length - len(labels))] for _, labels in batch])
    return model(ids, attention_mask=ids != pad, labels=labels).loss


def _batches(examples: Sequence[Example], size: int, seed: int) -> Iterator[list[Example]]:
    """Yield batches of all examples in epochs, each in a new order."""
    draw = random.Random(seed)
    while True:
        order = draw.sample(examples, len(examples))
        yield from (order[start : start + size] for start in range(0, len(order), size))


# Answers


class Recommender:
    """Answer requests with tracks of a release, using a model with its tokens."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tracks: ReleaseIndex) -> None:
        self.model, self.tokenizer, self.tracks = model.eval(), tokenizer, tracks
        self.tree: TupleTrie = tracks.tree()
        self.format = tracks.table.token_format
        self.ids = TokenIds(tokenizer.get_vocab(), self.format)
        self.constraint = CatalogConstraint(self.tree, tokenizer.get_vocab(), self.format, repeats=False)

    def answer(self, asked: Sequence[Request], constrained: bool = True, batch: int = 32) -> Recommendations:
        """Write ten token tuples per request, and look up their tracks."""
        parts = [asked[start : start + batch] for start in range(0, len(asked), batch)]
        tuples = [found for part in parts for found in self._write(part, constrained)]
        existing = [[codes for codes in found if codes is not None and self._exists(codes)] for found in tuples]
        tracks = [self._look_up(found) for found in existing]
        return Recommendations(tracks, tuples=sum(map(len, tuples)), existing=sum(map(len, existing)))

    def _write(self, asked: Sequence[Request], constrained: bool) -> list[list[CodeTuple | None]]:
        """Write the best ten tuples per request; None for output that is not a tuple."""
        begun = self._begin(asked)
        written = self._generate(
            begun,
            num_beams=BEAMS,
            num_return_sequences=TOP,
            max_new_tokens=len(self.format) + 1,
            eos_token_id=self.ids.end,
            logits_processor=[self.constraint] if constrained else [],
        )
        codes = [self._codes(ids) for ids in written]
        return [codes[start : start + TOP] for start in range(0, len(codes), TOP)]

    def _begin(self, asked: Sequence[Request]) -> list[list[int]]:
        """Write each answer up to its first track."""
        prompts = [
            self.tokenizer.apply_chat_template(request.context, add_generation_prompt=True, return_dict=False)
            for request in asked
        ]
        openings = self._generate(
            prompts, max_new_tokens=OPENING, eos_token_id=[self.ids.start, self.tokenizer.eos_token_id]
        )
        stops = {self.ids.start, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        words = [ids[: next((n for n, number in enumerate(ids) if number in stops), len(ids))] for ids in openings]
        return [[*prompt, *opening, self.ids.start] for prompt, opening in zip(prompts, words, strict=True)]

    def _generate(self, prompts: list[list[int]], **settings: Any) -> list[list[int]]:
        """Generate the ids that follow each prompt."""
        padded = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        with torch.no_grad():
            output = self.model.generate(**padded, do_sample=False, **settings)
        return output[:, padded["input_ids"].shape[1] :].tolist()

    def _codes(self, ids: list[int]) -> CodeTuple | None:
        """Codes of a complete tuple, or None."""
        length = len(self.format)
        complete = len(ids) > length and ids[length] == self.ids.end
        return self.ids.read(np.array(ids[:length])) if complete else None

    def _exists(self, codes: CodeTuple) -> bool:
        return self.tree.find(codes.tolist()) is not None

    def _look_up(self, tuples: list[CodeTuple]) -> list[str]:
        """List the first ten tracks of some tuples; tracks of the same tuple are in the index's order."""
        matches = [self.tracks.index.match(codes, TOP) for codes in tuples]
        same = [found.rows[found.similarities.all(axis=1)] for found in matches]
        return self.tracks.ids(np.concatenate(same)[:TOP]) if same else []


# Measures


Figures = dict[str, float]
COLUMNS = ("hit@1", "hit@10", "mrr", "early", "final", "exist", "freely")


def rank(answers: Sequence[Sequence[str]], asked: Sequence[Request]) -> Figures:
    """Measure answers: shares with a correct track first, or among ten, and the mean of 1 / rank, 0 if none."""
    ranks = [
        next((rank for rank, track in enumerate(found, start=1) if track in request.truth), 0)
        for found, request in zip(answers, asked, strict=True)
    ]
    of_all = {"hit@1": [rank == 1 for rank in ranks], "hit@10": [0 < rank <= TOP for rank in ranks]}
    means = {column: statistics.mean(map(float, hits)) for column, hits in of_all.items()}
    return {**means, "mrr": statistics.mean(1 / rank if rank else 0.0 for rank in ranks)}


def popular(training: Sequence[Request], asked: Sequence[Request]) -> list[list[str]]:
    """Answer each request with the most recommended tracks of training that were not named earlier."""
    counts = Counter(track for request in training for track in sorted(request.truth))
    order = [track for track, _ in counts.most_common()]
    return [[track for track in order if track not in request.named][:TOP] for request in asked]


def by_chance(track_ids: Sequence[str], asked: Sequence[Request], seed: int = 0) -> list[list[str]]:
    """Answer each request with ten random tracks that were not named earlier."""
    draw = random.Random(seed)
    return [draw.sample([track for track in track_ids if track not in request.named], TOP) for request in asked]


# One training, and several


def learn(base: Path, store: str, init: str, texts: Texts, out: Path, sizes: Sizes, seed: int) -> Result:
    """Add the tokens to a model, fine-tune it, save it, and let it answer."""
    start, opened = time.monotonic(), Store.open(store)
    release = published_release(opened)
    pack = read_token_release(opened.release(release.release_id).folder, store if init == TEXT else None)
    apply_to_folder(str(base), str(out / "with_tokens"), pack, init=init, seed=seed)
    tokenizer = AutoTokenizer.from_pretrained(out / "with_tokens")
    model = AutoModelForCausalLM.from_pretrained(out / "with_tokens")
    early, final = fine_tune(model, tokenizer, texts, sizes, seed)
    model.save_pretrained(out / "trained")
    tokenizer.save_pretrained(out / "trained")
    seconds = time.monotonic() - start
    recommender = Recommender(model, tokenizer, ReleaseIndex.read(opened, release))
    free = recommender.answer(texts.held_out[:FREE], constrained=False)
    return Result(early, final, recommender.answer(texts.held_out), free, seconds)


def fine_tune(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Texts, sizes: Sizes, seed: int
) -> tuple[float, float]:
    """Train on texts with tokens. Return the loss of held-out answers after the first steps, and at the end."""
    examples = [encode(tokenizer, chat) for chat in [*texts.tracks, *texts.conversations]]
    held_out = [encode(tokenizer, [*request.context, request.answer]) for request in texts.held_out]
    losses = {}

    def watch(step: int) -> None:
        if step in (sizes.early, sizes.steps):
            losses[step] = loss_of(model, held_out)

    train(model, examples, sizes.steps, sizes, seed, watch)
    return losses[sizes.early], losses[sizes.steps]


def compare(store: str, conversations: Path, out: Path, inits: Sequence[str], seeds: int, sizes: Sizes) -> None:
    """Train with each init from the same base models, and print a table."""
    out.mkdir(parents=True)
    texts = read_texts(store, conversations, out)
    print(f"{len(texts.conversations)} conversations to learn from, {len(texts.held_out)} requests held out")
    print(f"{'':<20}{''.join(f'{column:>9}' for column in COLUMNS)}")
    print_baselines(store, texts)
    figures: dict[str, list[Figures]] = {init: [] for init in inits}
    for seed in range(seeds):
        make_base(texts.plain, out / f"base-{seed}", sizes, seed)
        for init in inits:
            result = learn(out / f"base-{seed}", store, init, texts, out / f"{init}-{seed}", sizes, seed)
            figures[init].append(figures_of(result, texts.held_out))
            print_row(f"{init}, seed {seed}", figures[init][-1:], f"   {result.seconds:.0f} s")
    for init, found in figures.items():
        print_row(f"{init}, all seeds", found)


def figures_of(result: Result, asked: Sequence[Request]) -> Figures:
    """Return the columns of a training: ranking, losses, and shares of tuples that exist, constrained and freely."""
    shares = {"exist": result.written.share, "freely": result.free.share}
    return {**rank(result.written.tracks, asked), "early": result.early, "final": result.final, **shares}


def print_baselines(store: str, texts: Texts) -> None:
    """Print the figures of popularity and chance."""
    opened = Store.open(store)
    ids = ReleaseIndex.read(opened, published_release(opened)).track_ids.to_pylist()
    print_row("popularity", [rank(popular(texts.requests, texts.held_out), texts.held_out)])
    print_row("chance", [rank(by_chance(ids, texts.held_out), texts.held_out)])


def print_row(name: str, figures: Sequence[Figures], after: str = "") -> None:
    """Print a line of the table: the means of some trainings."""
    means = [statistics.mean(found[column] for found in figures) for column in COLUMNS if column in figures[0]]
    print(f"{name:<20}{''.join(f'{mean:>9.3f}' for mean in means)}{after}", flush=True)


def main() -> None:
    """Read the command line, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a store with a release")
    parser.add_argument("--conversations", type=Path, required=True, help="input of `tracktokens render conversations`")
    parser.add_argument("--out", type=Path, required=True, help="new folder for texts and models")
    parser.add_argument(
        "--init", choices=[*INITS, "both"], default="both", help="initial values of new rows; both: mean and centroid"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each init")
    parser.add_argument("--steps", type=int, default=Sizes.steps, help="steps of fine-tuning")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.steps < Sizes.early:
        parser.error(f"--steps must be at least {Sizes.early}: the first loss is measured then")
    torch.set_num_threads(args.threads)
    logging.basicConfig(level=logging.ERROR)
    transformers.logging.disable_progress_bar()
    inits = (MEAN, CENTROID) if args.init == "both" else (args.init,)
    compare(args.store, args.conversations, args.out, inits, args.seeds, Sizes(steps=args.steps))


if __name__ == "__main__":
    main()
