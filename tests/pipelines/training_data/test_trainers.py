"""Files as trainers read them: TRL trains on its own; the schemas of LLaMA-Factory's and axolotl's are checked."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer

from tests.support.trainer_loaders import learned_by_axolotl, learned_by_llama_factory
from tests.support.training_catalog import MARKED, Catalog, read_lines, write_lines
from tracktokens.pipelines.cli.main import main

pytestmark = pytest.mark.job

EXAMPLES = Path(__file__).parents[3] / "examples"

TALK = {
    "id": "c",
    "split": "train",
    "messages": [
        {"role": "user", "content": "calm?"},
        {"role": "assistant", "content": "Try [track:t2]."},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": "Then [track:t3]."},
    ],
}


def render(small: Catalog, folder: Path, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    talks = write_lines(folder / "talks.jsonl", [TALK, {**TALK, "id": "v", "split": "validation"}])
    inputs = ["--conversations", talks, "--playlists", str(small.playlists), "--tracks", str(small.tracks)]
    inputs += ["--mix", "title_to_tokens=0.2,tokens_to_title=0.2,lyrics_to_tokens=0.5,playlist_continuation=0.5"]
    arguments = ["--store", str(small.store), "--out", str(folder / "out"), *inputs, *options]
    result = CliRunner().invoke(main, ["render", "training", *arguments])
    assert result.exit_code == 0, result.output
    return folder / "out"


@pytest.mark.parametrize("options", [[], ["--permute"]], ids=["usual order", "permuted"])
def test_trl_trains_on_the_completions_and_on_nothing_else(
    small: Catalog, model: Path, tmp_path: Path, options: list[str]
) -> None:
    data = render(small, tmp_path / "data", *options)
    example = runpy.run_path(str(EXAMPLES / "trl_sft.py"))
    trainer = example["train"](model, data, tmp_path / "out", steps=10, batch=4)
    assert trainer.state.global_step == 10
    assert (tmp_path / "out" / "model.safetensors").exists()
    tokenizer = AutoTokenizer.from_pretrained(model)
    written = [row["completion"][0]["content"] + "<|end|>" for row in read_lines(data / "train.jsonl")]
    assert len(trainer.train_dataset) == len(written)
    for row, expected in zip(trainer.train_dataset, written, strict=True):
        batch = trainer.data_collator([row])
        labels = batch["labels"][0]
        assert tokenizer.decode(labels[labels != -100]) == expected
        first = int((labels != -100).nonzero()[0])
        assert (labels[first:] == batch["input_ids"][0][first:]).all()
        assert tokenizer.decode(batch["input_ids"][0][:first]).endswith("<|assistant|>")


def test_messages_need_a_template_with_marks(small: Catalog, model: Path, tmp_path: Path) -> None:
    arguments = ["render", "training", "--store", str(small.store), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--shape", "messages", "--model", str(model)])
    assert result.exit_code == 2
    assert "has no {% generation %} marks" in result.stderr
    assert "leave out --shape messages" in result.stderr
    missing = CliRunner().invoke(main, [*arguments, "--shape", "messages", "--model", str(tmp_path / "none")])
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)


def test_trl_masks_messages_by_the_marks(small: Catalog, model: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = MARKED
    tokenizer.save_pretrained(tmp_path / "marked")
    data = render(small, tmp_path / "data", "--shape", "messages", "--model", str(tmp_path / "marked"))
    rows = load_dataset("json", data_files=str(data / "train.jsonl"), split="train").select_columns(["messages"])
    settings = SFTConfig(
        output_dir=str(tmp_path / "out"), assistant_only_loss=True, max_steps=1, bf16=False, report_to="none"
    )
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model), settings, train_dataset=rows, processing_class=tokenizer
    )
    trainer.train()
    for row, tokenized in zip(rows, trainer.train_dataset, strict=True):
        labels = trainer.data_collator([tokenized])["labels"][0]
        answers = [entry["content"] for entry in row["messages"] if entry["role"] == "assistant"]
        assert tokenizer.decode(labels[labels != -100]) == "".join(f"{answer}<|end|>" for answer in answers)
    talks = [row for row in read_lines(data / "train.jsonl") if row["task"] == "conversation"]
    assert [(row["id"], len(row["messages"]), row["tracks"]) for row in talks] == [("c", 4, ["t2", "t3"])]


def alternates(messages: list[dict[str, Any]]) -> bool:
    roles = [entry["role"] for entry in messages]
    roles = roles[1:] if roles[0] == "system" else roles
    return roles == ["user", "assistant"] * (len(roles) // 2)


def test_llama_factory_gets_alternating_messages_data_sets_and_the_tokens(small: Catalog, tmp_path: Path) -> None:
    data = render(small, tmp_path / "data", "--trainer", "llama-factory")
    info = json.loads((data / "dataset_info.json").read_text())
    config = yaml.safe_load((EXAMPLES / "llama-factory.yaml").read_text())
    assert {config["dataset"], config["eval_dataset"]} <= info.keys()
    assert config["mask_history"] is True
    for entry in info.values():
        assert entry["formatting"] == "sharegpt"
        for row in read_lines(data / entry["file_name"]):
            messages = row[entry["columns"]["messages"]]
            assert alternates(messages)
            assert all(
                set(message) == {entry["tags"]["role_tag"], entry["tags"]["content_tag"]} for message in messages
            )
    release = (small.store / "LATEST").read_text().strip()
    vocabulary = json.loads((small.store / "releases" / release / "vocabulary" / "tokens.json").read_text())
    expected = [entry["token"] for entry in vocabulary["tokens"]]
    assert (data / "new_tokens.txt").read_text().strip().split(",") == expected


def test_axolotl_gets_messages_of_which_the_last_is_learned(small: Catalog, tmp_path: Path) -> None:
    data = render(small, tmp_path / "data", "--trainer", "axolotl")
    config = yaml.safe_load((EXAMPLES / "axolotl.yaml").read_text())
    for entry, split in ((config["datasets"][0], "train"), (config["test_datasets"][0], "validation")):
        assert entry["type"] == "chat_template"
        assert entry["roles_to_train"] == []
        assert Path(entry["path"]).name == f"{split}.jsonl"
        for row in read_lines(data / f"{split}.jsonl"):
            messages = row[entry["field_messages"]]
            assert alternates(messages)
            trained = [message[entry["message_field_training"]] for message in messages]
            assert trained == [False] * (len(messages) - 1) + [True]


def last_messages(data: Path) -> list[str]:
    return [row["messages"][-1]["content"] for row in read_lines(data / "train.jsonl")]


def test_llama_factory_learns_the_last_message_of_each_row(small: Catalog, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llamafactory")
    data = render(small, tmp_path / "data", "--trainer", "llama-factory")
    config = yaml.safe_load((EXAMPLES / "llama-factory.yaml").read_text())
    here = {"model_name_or_path": str(model), "dataset_dir": str(data), "output_dir": str(tmp_path / "out")}
    learned = learned_by_llama_factory({**config, **here, "use_cpu": True, "bf16": False})
    assert [text.strip().removesuffix("<|end|>") for text in learned] == [text.strip() for text in last_messages(data)]


def test_axolotl_learns_the_last_message_of_each_row(small: Catalog, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    data = render(small, tmp_path / "data", "--trainer", "axolotl")
    config = yaml.safe_load((EXAMPLES / "axolotl.yaml").read_text())
    for key, split in (("datasets", "train"), ("test_datasets", "validation")):
        config[key][0]["path"] = str(data / f"{split}.jsonl")
    here = {"base_model": str(model), "output_dir": str(tmp_path / "out"), "bf16": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, **here}))
    learned = learned_by_axolotl(tmp_path / "config.yaml")
    assert sorted(text.removesuffix("<|end|>") for text in learned) == sorted(last_messages(data))
