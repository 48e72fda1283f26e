"""The command that fine-tunes a model on the tokens of a release: ``finetune``."""

from importlib.util import find_spec
from typing import Any

import click

from tracktokens.pipelines.cli.language_models.reply_options import precision_option
from tracktokens.pipelines.cli.options.common import NonEmptyStr
from tracktokens.pipelines.finetuning.settings import FinetuneSettings
from tracktokens.pipelines.terminal import echo, make_console
from tracktokens.schemas.errors import UsageError

NEEDED = ("peft", "trl")


@click.command(name="finetune")
@click.option("--model", required=True, type=NonEmptyStr(), metavar="DIR", help="Model of `vocabulary apply`.")
@click.option("--data", required=True, type=NonEmptyStr(), metavar="DIR", help="Folder of `render training`.")
@click.option("--out", required=True, type=NonEmptyStr(), metavar="DIR", help="New folder, or one of a killed run.")
@click.option("--store", type=NonEmptyStr(), metavar="DIR", help="Store of the release, for Hit@10 and a check.")
@click.option("--release", type=NonEmptyStr(), metavar="R", help="Folder of the release, or its id in --store.")
@click.option("--merge", is_flag=True, help="Write all weights, in place of an adapter for --model.")
@click.option("--stage1-steps", type=click.IntRange(0), default=200, help="Steps on new rows alone.")
@click.option("--epochs", type=click.FloatRange(0), default=1, help="Passes over the data after that.")
@click.option("--max-steps", type=click.IntRange(0), metavar="N", help="Limit of the steps after stage 1.")
@click.option("--full", is_flag=True, help="Train all weights, in place of LoRA.")
@click.option("--lora-rank", type=click.IntRange(1), default=16, help="Rank of LoRA.")
@click.option("--lora-alpha", type=click.IntRange(1), default=32, help="Scale of LoRA, times rank.")
@click.option(
    "--lora-modules",
    type=NonEmptyStr(),
    default="all-linear",
    metavar="NAMES",
    help="Layers with LoRA, such as q_proj,v_proj.",
)
@click.option("--batch-size", type=click.IntRange(1), default=8, help="Rows per batch.")
@click.option("--gradient-accumulation", type=click.IntRange(1), default=1, help="Batches per step.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="Peak rate of all other weights.  [default: 0.0005; with --full, 0.00005]",
)
@click.option(
    "--row-learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=0.005,
    help="Peak rate of new rows.",
)
@click.option("--max-length", type=click.IntRange(16), default=1024, help="Longest row in tokens.")
@click.option("--packing", is_flag=True, help="Fill sequences of --max-length with several rows.")
@precision_option
@click.option("--gradient-checkpointing", is_flag=True, help="Save memory, for a third more time.")
@click.option(
    "--eval-every",
    type=click.IntRange(1),
    default=100,
    help="Steps between evaluations and checkpoints.",
)
@click.option("--eval-sample", type=click.IntRange(1), default=100, help="Validation rows per evaluation.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of row order and LoRA.")
@click.option("--force", is_flag=True, help="Train even if memory seems too small.")
def finetune_command(
    model: str, data: str, out: str, store: str | None, release: str | None, merge: bool, force: bool, **settings: Any
) -> None:
    """Fine-tune a model on training rows with tokens: new rows first, then LoRA or all weights.

    A killed run continues when the same command is repeated.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UsageError(f"{' and '.join(missing)} not installed: pip install 'tracktokens[llm]'")
    from tracktokens.pipelines.finetuning.finetune import FinetuneJob
    from tracktokens.pipelines.finetuning.progress import TrainingProgress
    from tracktokens.transforms.store.releases import release_folder

    folder = release_folder(release, store) if release or store else None
    job = FinetuneJob(
        model=model,
        data=data,
        out=out,
        settings=FinetuneSettings(**settings),
        release=folder,
        merge=merge,
        force=force,
    )
    with TrainingProgress(make_console(stderr=True)) as progress:
        result = job.run(progress)
    if result.complete_before:
        echo(f"{out} is complete: nothing to do")
    for line in result.evaluations():
        hit = f", Hit@10 {line['hit_at_10']:.3f}" if "hit_at_10" in line else ""
        echo(f"{line['stage']} {line['step']}: validation loss {line['validation_loss']:.4f}{hit}")
