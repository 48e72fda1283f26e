"""A small catalog with names, tags and lyrics, its playlists, and a tiny model: inputs of training files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.support.vector_catalog import write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.llm.extend_model import apply_to_folder, read_token_release
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO, TAGS
from tracktokens.transforms.store.releases import release_folder

TRACKS, PLAYLISTS, GROUPS = 60, 40, 4
MEAN_TITLE = "<|audio_5|>"
WORDS = ("calm river at dawn", "loud street at night", "old train in snow", "bright beach in june")

PAD, END = "<|pad|>", "<|end|>"

PLAIN = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKED = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}<|end|>{% endgeneration %}{% else %}{{ message.content }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Catalog:
    """Paths of the inputs and the store."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def tracks(self) -> Path:
        return self.folder / "tracks.parquet"

    @property
    def playlists(self) -> Path:
        return self.folder / "playlists.parquet"

    def tokens(self) -> dict[str, str]:
        release = (self.store / "LATEST").read_text().strip()
        rows = pq.read_table(self.store / "releases" / release / "tokens").to_pylist()
        return {row["track_id"]: f"<|track|>{row['tokens']}<|/track|>" for row in rows}


def make_catalog(folder: Path) -> Catalog:
    numbers = range(TRACKS)
    rows = {
        "track_id": [f"t{n}" for n in numbers],
        "title": [MEAN_TITLE, None, *(f"song {n}" for n in numbers[2:])],
        "artist": ["somebody", None, *(f"artist {n // 3}" for n in numbers[2:])],
        "tags": [[f"genre{n % GROUPS}", "all"] for n in numbers],
        "lyrics": [f"[Chorus]\n{WORDS[n % GROUPS]} {n}\noh" if n % 2 else None for n in numbers],
    }
    pq.write_table(pa.table(rows), folder / "tracks.parquet")
    lists = [[f"t{n % GROUPS + GROUPS * k}" for k in range(n % 7)] for n in range(PLAYLISTS)]
    lists[-1] = [*lists[-1], "stranger"]
    table = {"playlist_id": [f"p{n}" for n in range(PLAYLISTS)], "track_ids": pa.array(lists, pa.list_(pa.string()))}
    pq.write_table(pa.table(table), folder / "playlists.parquet")
    draw = np.random.default_rng(0)
    embeddings = {}
    for modality in (AUDIO, TAGS):
        centres = draw.standard_normal((GROUPS, 8)) * 10
        vectors = centres[np.arange(TRACKS) % GROUPS] + draw.standard_normal((TRACKS, 8)) * 0.1
        write_vectors(folder / f"{modality}.parquet", vectors.astype(np.float32))
        embeddings[modality] = PrecomputedConfig(path=str(folder / f"{modality}.parquet"), version="x")
    source = CatalogSource(tracks=str(folder / "tracks.parquet"), embeddings=embeddings, encoders={})
    RunJob(source=source, store=str(folder / "store"), codebook_size=GROUPS).run(PipelineRunner())
    return Catalog(folder)


def make_model(catalog: Catalog, folder: Path) -> Path:
    """Make a Llama of a few thousand parameters with the release's tokens, whose chat template has no marks."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = [PAD, END, "<|user|>", "<|assistant|>", "<|system|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(WORDS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=PAD)
    tokenizer.chat_template = PLAIN
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=320,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    release = read_token_release(release_folder(None, str(catalog.store)))
    apply_to_folder(str(folder / "plain"), str(folder / "model"), release)
    return folder / "model"


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)
