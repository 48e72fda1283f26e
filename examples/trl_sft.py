"""Fine-tune a model on the files of `tracktokens render training` with TRL.

    tracktokens vocabulary apply --model my-llm --store /data/store --out my-llm-with-tracks
    tracktokens render training --store /data/store --conversations talks.jsonl --out training
    python examples/trl_sft.py --model my-llm-with-tracks --data training --out trained

A row has a prompt and a completion, so the loss covers the completion, with every chat template. All weights are
trained. With LoRA, train the embeddings too, since they have the rows of the new tokens.
"""

import argparse
from pathlib import Path

import torch
from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def read_split(data: Path, split: str) -> Dataset:
    """Load the rows of a split, without what TRL does not read."""
    rows = load_dataset("json", data_files=str(data / f"{split}.jsonl"), split="train")
    return rows.select_columns(["prompt", "completion"])


def train(model: Path, data: Path, out: Path, steps: int, batch: int) -> SFTTrainer:
    """Train, and save the model and its tokenizer."""
    settings = SFTConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=2e-4,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, steps // 20),
        max_length=1024,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        logging_steps=max(1, steps // 50),
        save_strategy="no",
        report_to="none",
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=settings,
        train_dataset=read_split(data, "train"),
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    trainer.train()
    trainer.save_model(str(out))
    return trainer


def main() -> None:
    """Read the command line, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    train(args.model, args.data, args.out, args.steps, args.batch)


if __name__ == "__main__":
    main()
