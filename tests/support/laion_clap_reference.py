"""Vectors of the real laion-clap with random weights; test_clap_checkpoint.py runs this in a separate process.

Its import and its ``CLAP_Module`` read three tokenizers and a text model from the Hugging Face cache, which the
environment names; tiny ones are written there first.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from transformers import RobertaConfig, RobertaModel

BYTE_PAIRS = {
    "vocab.json": json.dumps({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5}),
    "merges.txt": "#version: 0.2\n",
}


def fill_cache() -> None:
    """Write tiny tokenizers, and a text model of one narrow layer, under the names that laion-clap requests."""
    cached("bert-base-uncased", "bert", {"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"})
    cached("facebook/bart-base", "bart", BYTE_PAIRS)
    config = RobertaConfig(vocab_size=8, num_hidden_layers=1, intermediate_size=8, max_position_embeddings=8)
    RobertaModel(config).save_pretrained(cached("roberta-base", "roberta", BYTE_PAIRS))


def cached(repository: str, model_type: str, files: dict[str, str]) -> Path:
    folder = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    for name, content in {**files, "config.json": json.dumps({"model_type": model_type})}.items():
        (snapshot / name).write_text(content)
    return snapshot


def main(folder: Path) -> None:
    fill_cache()
    import laion_clap

    torch.manual_seed(0)
    module = laion_clap.CLAP_Module(enable_fusion=False, device="cpu", amodel="HTSAT-tiny")
    # The scale of a trained network: with initial weights of 0.02 every sound has nearly the same vector.
    for name, parameter in module.model.audio_branch.named_parameters():
        if "weight" in name and parameter.dim() > 1 and parameter.requires_grad:
            parameter.data.mul_(3)
    windows = np.load(folder / "windows.npz")
    vectors = {name: module.get_audio_embedding_from_data([windows[name]])[0] for name in windows}
    np.savez(folder / "vectors.npz", **vectors)
    torch.save(module.model.state_dict(), folder / "state.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
