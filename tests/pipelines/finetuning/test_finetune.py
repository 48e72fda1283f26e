"""Fine-tuning of tiny models with tied and untied heads: what is trained, what is kept, and how a run continues."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from rich.console import Console
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, LlamaConfig, PreTrainedTokenizerFast

from tests.support.small_serving import CODES, SmallCatalog, draw_catalog
from tracktokens.codebooks.tokens.rendering import track_text
from tracktokens.codebooks.tokens.vocabulary import tokens_json, tuple_string
from tracktokens.pipelines.cli.language_models import finetune_command
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.finetuning import finetune, stage_trainer
from tracktokens.pipelines.finetuning.finetune import FinetuneJob, FinetuneResult
from tracktokens.pipelines.finetuning.memory import estimate_memory
from tracktokens.pipelines.finetuning.progress import TrainingProgress
from tracktokens.pipelines.finetuning.settings import FinetuneSettings
from tracktokens.pipelines.finetuning.training_rows import encode_split, join_turns, read_training_folder
from tracktokens.pipelines.llm.extend_model import TokenRelease, apply_to_folder, read_token_release
from tracktokens.schemas.errors import InvalidDataError, TracktokensError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.serving.generation.precision import BFLOAT16, FLOAT32

pytestmark = pytest.mark.job

TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
TrainingRow = dict[str, Any]
TEXTS = ["Play me something slow", "A song like the last, but Older", "user assistant system"] * 20
QUICK = FinetuneSettings(
    stage1_steps=4,
    max_steps=4,
    lora_rank=2,
    batch_size=2,
    eval_every=2,
    eval_sample=4,
    row_learning_rate=0.05,
    precision=FLOAT32,
)
ONE_STEP = FinetuneSettings(stage1_steps=1, epochs=0, batch_size=24, precision=FLOAT32)


def chat_tokenizer(lower: bool = False) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    if lower:
        made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    made.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **SPECIAL)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save_base(folder: Path, tied: bool, lower: bool = False) -> Path:
    """Save a tiny chat model, with the generation settings of one: they would cut what a constraint needs."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=320,
        tie_word_embeddings=tied,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(do_sample=True, top_k=20, temperature=0.2, eos_token_id=5)
    model.save_pretrained(folder)
    chat_tokenizer(lower).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> SmallCatalog:
    """The serving table and the vocabulary of a release."""
    release = tmp_path_factory.mktemp("release") / "r1"
    catalog = draw_catalog(release)
    draw = np.random.default_rng(0)
    (release / "vocabulary").mkdir()
    (release / "manifest.json").write_text(ReleaseManifest("r1", "b1", "c1", CODES, {}, {}, {}).to_json())
    (release / "vocabulary" / "tokens.json").write_text(json.dumps(tokens_json("b1", CODES)))
    centroids = {name: draw.standard_normal((CODES, 8)).astype(np.float32) for name in MODALITIES}
    save_file(centroids, release / "vocabulary" / "centroids.safetensors")
    return catalog


@pytest.fixture(scope="module")
def release(catalog: SmallCatalog) -> TokenRelease:
    return read_token_release(str(catalog.release))


@pytest.fixture(scope="module")
def bases(release: TokenRelease, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, tied in (("tied", True), ("untied", False)):
        source = save_base(folder / f"{name}-base", tied)
        apply_to_folder(str(source), str(folder / name), release)
    return {name: folder / name for name in ("tied", "untied")}


def training_rows(catalog: SmallCatalog, first: int, count: int) -> list[TrainingRow]:
    """Turns of conversations: the first one has no track, which needs no tokens in the loss."""
    rows = []
    for number in range(first, first + count):
        text = track_text(tuple_string(catalog.codes[number].tolist(), MODALITIES))
        prompt = [{"role": "system", "content": "You recommend."}, {"role": "user", "content": f"Number {number % 7}?"}]
        earlier = [{"role": "user", "content": "Hi, Older"}, {"role": "assistant", "content": "Yes"}] * (number % 3)
        prompt[1:1] = earlier
        completion = [{"role": "assistant", "content": f"Try {text}."}]
        rows.append(
            {
                "prompt": prompt,
                "completion": completion,
                "task": "conversation",
                "id": str(number),
                "tracks": [catalog.ids[number]],
            }
        )
    return rows


def write_data(folder: Path, catalog: SmallCatalog, validation: int = 6, **manifest: object) -> Path:
    folder.mkdir()
    content = {"format": 1, "release": "r1", "bundle": "b1", "trainer": "trl", **manifest}
    (folder / "training.json").write_text(json.dumps(content))
    for split, first, count in (("train", 0, 24), ("validation", 30, validation)):
        lines = [json.dumps(row) + "\n" for row in training_rows(catalog, first, count)]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def data(catalog: SmallCatalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "rows", catalog)


def train(model: Path, data: Path, out: Path, settings: FinetuneSettings = QUICK, **options: object) -> FinetuneResult:
    job = FinetuneJob(model=str(model), data=str(data), out=str(out), settings=settings, **options)  # type: ignore[arg-type]
    with TrainingProgress(Console(quiet=True)) as progress:
        return job.run(progress)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def token_rows(folder: Path) -> list[int]:
    return sorted(json.loads((folder / "tokens_to_ids.json").read_text())["tokens"].values())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_stage_1_changes_the_new_rows_and_nothing_else(
    name: str, bases: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    train(bases[name], data, tmp_path / "out", FinetuneSettings(**{**QUICK.to_json(), "epochs": 0}), merge=True)
    before, after = weights(bases[name]), weights(tmp_path / "out")
    new = token_rows(bases[name])
    matrices = {"model.embed_tokens.weight", "lm_head.weight"}
    assert before.keys() == after.keys()
    for key in before:
        changed = (before[key] != after[key]).reshape(len(before[key]), -1).any(dim=1).nonzero().flatten().tolist()
        assert set(changed) <= (set(new) if key in matrices else set())
        assert len(changed) > len(new) / 2 if key in matrices else not changed
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == (name == "tied")


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_a_merged_folder_is_what_the_adapter_computes(
    name: str, bases: dict[str, Path], data: Path, release: TokenRelease, tmp_path: Path
) -> None:
    from peft import PeftModel

    result = train(bases[name], data, tmp_path / "adapter")
    train(bases[name], data, tmp_path / "merged", merge=True)
    adapter = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(bases[name]), tmp_path / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    ids = torch.tensor([[5, 9, *token_rows(bases[name])[:6]]])
    torch.testing.assert_close(merged(ids).logits, adapter(ids).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        merged(ids).logits, AutoModelForCausalLM.from_pretrained(tmp_path / "adapter")(ids).logits, rtol=1e-4, atol=1e-5
    )
    losses = [line["validation_loss"] for line in result.evaluations()]
    assert min(losses[1:]) < losses[0]
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert "adapter_config.json" not in names
    assert {"tokens_to_ids.json", "chat_template.jinja", "training"} <= names
    assert apply_to_folder(str(tmp_path / "merged"), str(tmp_path / "again"), release).unchanged


def test_generation_settings_of_the_base_model_are_replaced(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    train(bases["tied"], data, tmp_path / "out", merge=True)
    written = GenerationConfig.from_pretrained(tmp_path / "out")
    assert (written.do_sample, written.top_k, written.temperature) == (False, None, None)
    assert written.eos_token_id == [1, 5]


def test_all_weights_are_trained_by_full(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(**{**QUICK.to_json(), "full": True, "stage1_steps": 2})
    train(bases["untied"], data, tmp_path / "out", settings)
    before, after = weights(bases["untied"]), weights(tmp_path / "out")
    assert [key for key in before if torch.equal(before[key], after[key])] == []


@dataclass(frozen=True)
class WholeRun:
    """A run that was not interrupted."""

    settings: FinetuneSettings
    folder: Path
    result: FinetuneResult


@pytest.fixture(scope="module", params=[False, True], ids=["lora", "full"])
def whole(
    request: pytest.FixtureRequest, bases: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> WholeRun:
    folder = tmp_path_factory.mktemp("whole") / "out"
    settings = FinetuneSettings(**{**QUICK.to_json(), "full": request.param, "stage1_steps": 5, "max_steps": 5})
    return WholeRun(settings, folder, train(bases["tied"], data, folder, settings, merge=True))


@pytest.mark.parametrize("killed_in", ["rows", "second"])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(
    killed_in: str,
    whole: WholeRun,
    bases: dict[str, Path],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = whole.settings
    report: Callable[..., None] = stage_trainer._Reports.on_step_end

    def kill(self: stage_trainer._Reports, args: object, state: object, control: object, **options: object) -> None:
        if state.global_step == 3 and (self._stage == "rows") == (killed_in == "rows"):  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        report(self, args, state, control, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stage_trainer._Reports, "on_step_end", kill)
        with pytest.raises(KeyboardInterrupt):
            train(bases["tied"], data, tmp_path / "killed", settings, merge=True)
    assert not (tmp_path / "killed" / "config.json").exists()
    stage = "rows" if killed_in == "rows" else settings.stages[1]
    incomplete = tmp_path / "killed" / "training" / stage / "checkpoint-3"
    incomplete.mkdir()  # of a kill while a checkpoint was written
    moved = tmp_path / "moved"
    (tmp_path / "killed").rename(moved)
    continued = train(bases["tied"], data, moved, settings, merge=True)
    assert same(weights(moved), weights(whole.folder))
    measured = [[{**line, "seconds": 0} for line in result.metrics] for result in (whole.result, continued)]
    assert measured[0] == measured[1]
    assert train(bases["tied"], data, moved, settings, merge=True).complete_before


def test_the_best_weights_are_kept(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    """The more the model learns of the training rows, the less it expects what the validation rows have."""
    contrary = tmp_path / "contrary"
    shutil.copytree(data, contrary)
    row = {
        "prompt": [{"role": "user", "content": "Number 3?"}],
        "completion": [{"role": "assistant", "content": "0=9~"}],
    }
    (contrary / "validation.jsonl").write_text(f"{json.dumps(row)}\n" * 4)
    longer = {"stage1_steps": 0, "max_steps": 20, "epochs": 2, "eval_every": 5, "full": True, "learning_rate": 0.02}
    settings = FinetuneSettings(**{**QUICK.to_json(), **longer})
    measured = train(bases["tied"], contrary, tmp_path / "out", settings).evaluations()
    losses = [line["validation_loss"] for line in measured][1:]
    assert min(losses) < losses[-1] - 0.1
    once = FinetuneSettings(**{**QUICK.to_json(), "epochs": 0, "stage1_steps": 1})
    again = train(tmp_path / "out", contrary, tmp_path / "again", once).evaluations()
    assert again[0]["validation_loss"] == pytest.approx(min(losses), rel=1e-5)


def mean_loss(model: Path, rows: Sequence[TrainingRow]) -> float:
    """Mean over the ids of all completions, each row alone."""
    network, tokenizer = AutoModelForCausalLM.from_pretrained(model), finetune.read_token_model(str(model)).tokenizer
    total, count = 0.0, 0
    for row in rows:
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        ids = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], return_dict=False)
        scores = torch.log_softmax(network(torch.tensor([ids])).logits[0], dim=-1)
        places = range(len(prompt), len(ids))
        total -= sum(scores[place - 1, ids[place]].item() for place in places)
        count += len(places)
    return total / count


def first_loss(result: FinetuneResult) -> float:
    return next(float(line["loss"]) for line in result.metrics if "loss" in line)


def test_packed_rows_do_not_see_each_other(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    expected = mean_loss(bases["tied"], [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()])
    packing = replace(ONE_STEP, max_length=256, packing=True)
    for name, settings in {"packed": packing, "plain": ONE_STEP}.items():
        trained = train(bases["tied"], data, tmp_path / name, settings)
        assert first_loss(trained) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_turns_of_a_conversation_are_read_once_and_all_learned(
    name: str, bases: dict[str, Path], catalog: SmallCatalog, data: Path, tmp_path: Path
) -> None:
    messages = [
        message for row in training_rows(catalog, 0, 4) for message in (*row["prompt"][-1:], *row["completion"])
    ]
    turns: list[TrainingRow] = [
        {"prompt": messages[:place], "completion": messages[place : place + 1]} for place in (1, 3, 5, 7)
    ]
    other: TrainingRow = {"prompt": messages[:1], "completion": [{"role": "assistant", "content": "Hi"}]}
    talks = tmp_path / "talks"
    shutil.copytree(data, talks)
    rows = [turns[2], turns[0], other, turns[3], turns[1], turns[1]]
    (talks / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model = finetune.read_token_model(str(bases[name]))
    encoded = encode_split(read_training_folder(str(talks), model), "train", model.tokenizer, 1000).rows
    joined = join_turns(encoded)
    assert [row.ids for row in joined] == [encoded[place].ids for place in (2, 3, 4)]  # the repeated turn stays a row
    assert [len(row.earlier) for row in joined] == [0, 2, 1]
    trained = train(bases[name], talks, tmp_path / "out", ONE_STEP)
    assert first_loss(trained) == pytest.approx(mean_loss(bases[name], rows), rel=1e-4)


def test_bfloat16_rounds_the_loss(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    exact, rounded = (
        first_loss(train(bases["tied"], data, tmp_path / precision, replace(ONE_STEP, precision=precision)))
        for precision in (FLOAT32, BFLOAT16)
    )
    assert exact != rounded and exact == pytest.approx(rounded, rel=0.02)


def test_hit_rate_is_measured_in_the_catalog_and_rises(
    bases: dict[str, Path], catalog: SmallCatalog, data: Path, tmp_path: Path
) -> None:
    learned = tmp_path / "learned"
    shutil.copytree(data, learned)
    shutil.copyfile(data / "train.jsonl", learned / "validation.jsonl")
    settings = FinetuneSettings(
        **{
            **QUICK.to_json(),
            "stage1_steps": 0,
            "max_steps": None,
            "epochs": 12,
            "eval_every": 144,
            "full": True,
            "learning_rate": 0.02,
            "eval_sample": 24,
        }
    )
    result = train(bases["untied"], learned, tmp_path / "out", settings, release=str(catalog.release))
    hits = [line["hit_at_10"] for line in result.evaluations()]
    assert hits[-1] > hits[0]


def test_rows_that_are_too_long_lose_their_oldest_messages_or_are_left_out(
    bases: dict[str, Path], data: Path, catalog: SmallCatalog
) -> None:
    model = finetune.read_token_model(str(bases["tied"]))
    folder = read_training_folder(str(data), model)
    whole = encode_split(folder, "train", model.tokenizer, 1000)
    lengths = sorted({len(row.ids) for row in whole.rows})
    limit = lengths[len(lengths) // 2]
    cut = encode_split(folder, "train", model.tokenizer, limit)
    assert (len(cut.rows), cut.too_long) == (24, 0)
    assert cut.shortened == sum(len(row.ids) > limit for row in whole.rows) > 0
    for row in cut.rows:
        text = model.tokenizer.decode(row.ids)
        assert len(row.ids) <= limit and text.startswith("<s>system\nYou recommend.</s>") and "Number" in text
        completion = model.tokenizer.decode(row.ids[row.prompt_length :])
        assert completion.startswith("Try <|track|>") and completion.endswith("<|/track|>.</s>\n")
    none = encode_split(folder, "train", model.tokenizer, 20)
    assert (len(none.rows), none.too_long) == (0, 24)


def command(model: Path, data: Path, out: Path, *options: str) -> Result:
    arguments = ["finetune", "--model", str(model), "--data", str(data), "--out", str(out), *options]
    return CliRunner().invoke(main, arguments)


def test_the_command_trains_and_prints_the_evaluations(
    bases: dict[str, Path], catalog: SmallCatalog, data: Path, tmp_path: Path
) -> None:
    options = ["--stage1-steps", "2", "--max-steps", "2", "--eval-every", "2", "--lora-modules", "q_proj,v_proj"]
    result = command(bases["tied"], data, tmp_path / "out", "--release", str(catalog.release), *options)
    assert result.exit_code == 0, result.output
    assert "24 training rows in 24 sequences, 6 validation rows" in result.stderr
    assert "new rows: 2 steps of about" in result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["rows 0", "rows 2", "lora 2"]
    assert "Hit@10" in result.stdout
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert set(config["target_modules"]) == {"q_proj", "v_proj"}
    changed = command(bases["tied"], data, tmp_path / "out", "--release", str(catalog.release), *options, "--seed", "1")
    assert changed.exit_code == 2
    assert "seed was 0, is 1" in changed.stderr


def test_a_missing_package_is_one_line(
    bases: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_command, "find_spec", lambda name: None)
    result = command(bases["tied"], data, tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == "error: peft and trl not installed: pip install 'tracktokens[llm]'\n"


Change = Callable[[Path, Path], None]


def _edit(name: str, **values: object) -> Change:
    def change(model: Path, data: Path) -> None:
        path = (data if name == "training.json" else model) / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def _template(text: str | None) -> Change:
    def change(model: Path, data: Path) -> None:
        (model / "chat_template.jinja").unlink()
        if text is not None:
            (model / "chat_template.jinja").write_text(text)

    return change


def _write(name: str, text: str) -> Change:
    return lambda model, data: (data / name).write_text(text) and None  # type: ignore[func-returns-value]


def _remove(name: str) -> Change:
    return lambda model, data: (model / name if (model / name).exists() else data / name).unlink()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_remove("tokens_to_ids.json"), UsageError, "has no tokens of a release: add them with `tracktokens"),
        (_edit("config.json", tracktokens=None), UsageError, "has no tokens of a release"),
        (_remove("config.json"), UsageError, r"has no config\.json: give the folder of a model"),
        (_edit("tokens_to_ids.json", bundle="b2"), InvalidDataError, r"is of bundle b1, its tokens_to_ids\.json of b2"),
        (_template(None), UsageError, "has no chat template"),
        (_template("{{ messages | length }}{{ messages[-1]['content'] }}"), InvalidDataError, "1: the chat template"),
        (_template("{{ raise_exception('no systems') }}"), InvalidDataError, "accept the messages: no systems"),
        (_edit("training.json", bundle="b2"), UsageError, "is of bundle b2, the model in .* of b1"),
        (_edit("training.json", trainer="axolotl"), UsageError, "is for axolotl: render it with `--trainer trl`"),
        (_remove("training.json"), UsageError, r"has no training\.json: write the folder with `tracktokens render"),
        (_remove("train.jsonl"), InvalidDataError, r"has no train\.jsonl"),
        (_write("train.jsonl", ""), InvalidDataError, "has no training row that fits"),
        (_write("train.jsonl", '{"text": "x"}\n'), InvalidDataError, r"train\.jsonl, line 1: no row with prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(
    change: Change, kind: type[TracktokensError], message: str, bases: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    model, rows = tmp_path / "model", tmp_path / "rows"
    shutil.copytree(bases["tied"], model)
    shutil.copytree(data, rows)
    change(model, rows)
    with pytest.raises(kind, match=message) as error:
        train(model, rows, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_ignores_case_is_refused(release: TokenRelease, data: Path, tmp_path: Path) -> None:
    source = save_base(tmp_path / "base", True, lower=True)
    apply_to_folder(str(source), str(tmp_path / "model"), release)
    with pytest.raises(InvalidDataError, match="reads 'Blue Monday' as 'blue monday'"):
        train(tmp_path / "model", data, tmp_path / "out")


def test_a_release_of_another_bundle_is_refused(
    bases: dict[str, Path], catalog: SmallCatalog, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(catalog.release, other)
    (other / "manifest.json").write_text(ReleaseManifest("r2", "b2", "c1", CODES, {}, {}, {}).to_json())
    (other / "vocabulary" / "tokens.json").write_text(json.dumps(tokens_json("b2", CODES)))
    with pytest.raises(UsageError, match=r"has tokens of bundle b1, the release .* is of b2"):
        train(bases["tied"], data, tmp_path / "out", release=str(other))


def test_a_run_that_needs_more_memory_than_there_is_needs_force(
    bases: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "available_memory", lambda: 100_000)
    with pytest.raises(UsageError, match=r"training needs about .* GiB .* lower --batch-size"):
        train(bases["tied"], data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    train(bases["tied"], data, tmp_path / "out", force=True)


def test_memory_grows_with_the_ids_that_are_learned(bases: dict[str, Path]) -> None:
    config = AutoConfig.from_pretrained(bases["tied"])
    need = [estimate_memory(config, FinetuneSettings(batch_size=4), 10, 100, learned) for learned in (10, 90)]
    assert need[1].total - need[0].total == pytest.approx(1.25 * 16 * 4 * 80 * config.vocab_size, abs=2)
    sparing = estimate_memory(config, FinetuneSettings(batch_size=4, gradient_checkpointing=True), 10, 100, 10)
    assert sparing.activations < need[0].activations


def test_a_folder_with_something_else_is_refused(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty, and has no run to continue"):
        train(bases["tied"], data, tmp_path)
    with pytest.raises(UsageError, match="both stages have 0 steps"):
        FinetuneSettings(stage1_steps=0, epochs=0)
