"""The command line, ``tracktokens``. It parses and calls: jobs can be called from Python with the same arguments."""

import json
import logging
import math
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from tracktokens.pipelines.cli_options import Given, launch_options, store_option
from tracktokens.pipelines.cli_options import launched as _launched
from tracktokens.pipelines.cli_options import options as _options
from tracktokens.pipelines.match_command import add_match_command
from tracktokens.pipelines.store_commands import add_store_commands
from tracktokens.schemas.errors import TracktokensError, UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.encoders import VectorSources

Pairs = tuple[tuple[str, str], ...]
"""Values of an option that may be repeated: modality and value."""

EXIT_CODES = """\b
Exit codes:
  0  good
  1  a fault: ours, the machine's, or the runner's
  2  wrong usage, or an input that is not there
  3  the data was refused; nothing was published
  5  another job writes the store, or has published meanwhile
"""


class Share(click.FloatRange):
    """A number from 0 to 1, which NaN is not."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse NaN, which no comparison refuses."""
        share = float(super().convert(value, param, ctx))
        if math.isnan(share):
            self.fail("is not a number", param, ctx)
        return share


class OfModality(click.ParamType[tuple[str, str]]):
    """``MODALITY=VALUE``."""

    name = "text"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Part the modality from the value."""
        from tracktokens.schemas.modalities import MODALITIES

        modality, _, rest = (value[0], "=", value[1]) if isinstance(value, tuple) else value.partition("=")
        if modality not in MODALITIES or not rest.strip():
            self.fail(f"{value!r} is not MODALITY=VALUE, with one of {', '.join(MODALITIES)}", param, ctx)
        return modality, rest


class Cli(click.Group):
    """A group whose commands end with one line and the exit code of the error, and not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except TracktokensError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:  # a full disk, say
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)


@click.group(cls=Cli, epilog=EXIT_CODES)
@click.version_option(package_name="tracktokens")
def main() -> None:
    """Turn a music catalog into tokens that a language model can read and write."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s")  # libraries: errors only
    logging.getLogger("tracktokens").setLevel(logging.WARNING)


tracks_option = click.option(
    "--tracks",
    required=True,
    type=Given(),
    metavar="PATH",
    help="Tracks: file, folder or glob; Parquet, CSV or JSON Lines.",
)
size_option = click.option(
    "--codebook-size", default=1024, show_default=True, help="Codes that the vocabulary reserves for each modality."
)
bundle_option = click.option(
    "--bundle", type=Given(), metavar="ID", help="Codebook bundle; the latest release's when not given."
)
catalog_option = click.option(
    "--catalog", type=Given(), metavar="ID", help="Catalog snapshot; the newest complete one when not given."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the sample and of k-means."
)
max_churn_option = click.option(
    "--max-churn",
    type=Share(),
    help="Share of a modality's tokens that may be another than in the latest release; nothing is published past it.",
)
max_reject_rate_option = click.option(
    "--max-reject-rate",
    type=Share(),
    default=0.05,
    show_default=True,
    help="Share of rows that may be lost before the catalog is refused.",
)
audio_root_option = click.option(
    "--audio-root",
    type=Given(),
    metavar="DIR",
    help="Folder below which audio paths lie. Without it no track has an audio token.",
)
encoder_options = _options(
    click.option(
        "--text-model",
        type=Given(),
        metavar="MODEL",
        help="sentence-transformers model, name or folder; the packaged MiniLM when not given.",
    ),
    click.option(
        "--text-prompt",
        metavar="TEXT",
        help='What the model reads before every text, such as "query: ", or the name of a prompt that it has.',
    ),
    click.option(
        "--text-backend",
        type=click.Choice(["torch", "onnx", "openvino"]),
        default="torch",
        show_default=True,
        help="What runs the text model; onnx and openvino are faster on a CPU.",
    ),
    click.option(
        "--text-precision",
        type=click.Choice(["float32", "float16", "bfloat16", "int8"]),
        help="What the text model computes in; float32, and float16 on a GPU, when not given.",
    ),
    click.option(
        "--text-graph", type=Given(), metavar="FILE", help="Graph in the text model's folder, for onnx and openvino."
    ),
    click.option(
        "--device", metavar="NAME", help="Where models run: cpu, cuda, cuda:1, mps; a GPU where there is one."
    ),
    click.option(
        "--audio-encoder",
        type=click.Choice(["descriptors", "clap"]),
        default="descriptors",
        show_default=True,
        help="What is heard in audio: computed descriptors, or a learned LAION-CLAP model.",
    ),
    click.option(
        "--clap-checkpoint",
        type=Given(),
        metavar="PATH",
        help="The CLAP model: a file that laion-clap saved, or a folder that transformers did.",
    ),
    click.option("--clap-model", metavar="NAME", help="Size of the model in a file; HTSAT-base when not given."),
    click.option(
        "--trust-checkpoint",
        is_flag=True,
        help="Read a CLAP checkpoint that holds more than weights, which may run any code.",
    ),
    click.option(
        "--encoder",
        "plugins",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=NAME",
        help="Encoder that another package installed, for a modality. May be repeated.",
    ),
    click.option(
        "--encoder-option",
        "plugin_options",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=KEY=VALUE",
        help="Option for the encoder of --encoder. May be repeated.",
    ),
    click.option(
        "--vectors",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=PATH",
        help="Vectors that exist already: Parquet with track_id and vector. May be repeated.",
    ),
    click.option(
        "--vectors-id",
        "vector_ids",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=NAME",
        help="Name of the encoder that made the vectors; a hash of the files when not given.",
    ),
    click.option(
        "--vectors-column",
        "vector_columns",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=NAME",
        help="Column of the vectors, when it is not `vector`.",
    ),
)


@main.command()
@tracks_option
@click.option(
    "--playlists",
    type=Given(),
    metavar="PATH",
    help="Playlists: a file, folder or glob. Without it no track has a playlist token.",
)
@store_option
@audio_root_option
@encoder_options
@max_reject_rate_option
@max_churn_option
@size_option
@seed_option
@launch_options
def run(
    tracks: str,
    playlists: str | None,
    store: str,
    audio_root: str | None,
    max_reject_rate: float,
    max_churn: float | None,
    codebook_size: int,
    seed: int,
    workers: int,
    beam_options: tuple[str, ...],
    **sources: Any,
) -> None:
    """Tokenize a catalog: embed, playlists, train, tokenize and publish, one after the other.

    BEAM_OPTIONS come after `--` and go to Beam as they are, `--runner` among them.
    """
    from tracktokens.pipelines.report import report, seconds_table
    from tracktokens.pipelines.run import RunJob
    from tracktokens.pipelines.train import check_codebook_size

    check_codebook_size(codebook_size)
    chosen = _vector_sources(audio_root, **sources)
    job = RunJob(
        tracks,
        store,
        chosen.encoders(),
        playlists,
        audio_root,
        codebook_size,
        max_reject_rate,
        seed,
        chosen.given(),
        max_churn,
    )
    with _launched(workers, beam_options) as (launch, monitor):
        outcome = job.run(launch, monitor.enter)
    monitor.console.print(report(outcome.release.metrics), seconds_table(outcome.seconds))
    click.echo(f"release: {outcome.release.folder}")


@main.command()
@tracks_option
@store_option
@audio_root_option
@encoder_options
@max_reject_rate_option
@launch_options
def embed(
    tracks: str,
    store: str,
    audio_root: str | None,
    max_reject_rate: float,
    workers: int,
    beam_options: tuple[str, ...],
    **sources: Any,
) -> None:
    """Scan a catalog into the store and encode what was never encoded. Prints the catalog snapshot's id."""
    from tracktokens.pipelines.embed import EmbedJob

    chosen = _vector_sources(audio_root, **sources)
    job = EmbedJob(tracks, store, chosen.encoders(), audio_root, max_reject_rate, chosen.given())
    with _launched(workers, beam_options) as (launch, _):
        click.echo(job.run(launch).catalog_id)


@main.command()
@click.option("--playlists", required=True, type=Given(), metavar="PATH", help="Playlists: file, folder or glob.")
@click.option(
    "--from",
    "from_bundle",
    type=Given(),
    metavar="ID",
    help="Bundle whose playlist vectors to go on from, in their space; from nothing when not given.",
)
@store_option
@catalog_option
@launch_options
def playlists(
    playlists: str,
    from_bundle: str | None,
    store: str,
    catalog: str | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Learn playlist vectors for a catalog snapshot. Prints the encoder's id."""
    from tracktokens.pipelines.playlists import PlaylistsJob

    with _launched(workers, beam_options) as (launch, _):
        click.echo(PlaylistsJob(playlists, store, catalog, from_bundle=from_bundle).run(launch).encoder_id)


@main.command()
@store_option
@catalog_option
@size_option
@seed_option
@launch_options
def train(
    store: str, catalog: str | None, codebook_size: int, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a new codebook bundle from a catalog snapshot. Prints the bundle's id."""
    from tracktokens.pipelines.train import TrainJob

    with _launched(workers, beam_options) as (launch, _):
        click.echo(TrainJob(store, codebook_size, seed, catalog).run(launch).bundle_id)


@main.command()
@click.option(
    "--from", "from_bundle", type=Given(), metavar="ID", help="Older bundle; the latest release's when not given."
)
@store_option
@catalog_option
@seed_option
@launch_options
def retrain(
    from_bundle: str | None, store: str, catalog: str | None, seed: int, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Learn a bundle that goes on from another, so that tracks keep their tokens. Prints the bundle's id."""
    from tracktokens.pipelines.report import kept_table
    from tracktokens.pipelines.retrain import RetrainJob

    with _launched(workers, beam_options) as (launch, monitor):
        retrained = RetrainJob(store, from_bundle or _default_bundle(store), seed, catalog).run(launch)
    monitor.console.print(kept_table(retrained.kept, retrained.kept_without))
    click.echo(retrained.bundle.bundle_id)


@main.command()
@store_option
@bundle_option
@catalog_option
@launch_options
def tokenize(store: str, bundle: str | None, catalog: str | None, workers: int, beam_options: tuple[str, ...]) -> None:
    """Give every vector of a catalog snapshot its code. Prints how many codes were added."""
    from tracktokens.pipelines.tokenize import TokenizeJob

    with _launched(workers, beam_options) as (launch, _):
        counts = TokenizeJob(store, bundle or _default_bundle(store), catalog).run(launch)
    for modality, count in counts.items():
        click.echo(f"{modality} {count}")


@main.command()
@store_option
@bundle_option
@catalog_option
@max_churn_option
@launch_options
def publish(
    store: str,
    bundle: str | None,
    catalog: str | None,
    max_churn: float | None,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Publish a release of a tokenized catalog snapshot. Prints where it is."""
    from tracktokens.pipelines.publish import PublishJob
    from tracktokens.pipelines.report import report

    with _launched(workers, beam_options) as (launch, monitor):
        release = PublishJob(store, bundle or _default_bundle(store), catalog, max_churn).run(launch)
    monitor.console.print(report(release.metrics))
    click.echo(release.folder)


@main.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--tracks", default=200, show_default=True, type=click.IntRange(20), help="Good tracks; bad rows come on top."
)
@click.option("--seed", default=0, show_default=True, help="Seed of everything in it.")
def demo(folder: str, tracks: int, seed: int) -> None:
    """Make a small catalog of invented music in DIR, with audio, playlists, and some deliberately bad rows."""
    from tracktokens.pipelines.demo.catalog import make_demo

    made = make_demo(folder, tracks=tracks, seed=seed)
    click.echo(
        f"{made.track_count} tracks, {made.audio_file_count} audio files and {made.playlist_count} playlists, and some"
    )
    click.echo(f"bad rows and files to be rejected, in {made.folder}; what is true of them is in {made.truth}")


@main.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def diff(old: str, new: str, store: str, as_json: bool) -> None:
    """Show what changed between releases A and B: their ids, or those of bundles, whose newest releases are meant."""
    from rich.console import Console

    from tracktokens.pipelines.diff import diff_releases, diff_report

    found = diff_releases(store, old, new)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        Console().print(diff_report(found))


@main.command(name="inspect")
@click.argument("bundle", metavar="BUNDLE")
@click.argument("modality", required=False)
@click.argument("code", required=False, type=int)
@store_option
def inspect_bundle(bundle: str, modality: str | None, code: int | None, store: str) -> None:
    """Show what a BUNDLE is made of, the codes of a MODALITY, or what one CODE means."""
    from rich.console import Console

    from tracktokens.pipelines.inspection import Inspector, bundle_report, code_report, codes_report
    from tracktokens.transforms.store import Store

    opened = Store.open(store)
    if modality is None:
        Console().print(bundle_report(opened, bundle))
        return
    inspector = Inspector(opened, bundle, modality)
    Console().print(codes_report(inspector.codes()) if code is None else code_report(modality, inspector.code(code)))


@main.command()
@store_option
def show(store: str) -> None:
    """Show tracks of the latest release with their tokens, and some with nothing in common but their audio token."""
    from tracktokens.pipelines.show import examples
    from tracktokens.transforms.store import Store

    found = examples(Store.open(store))
    for heading, rows in (("tracks and their tokens", found.complete), ("only the sound in common", found.sound_alike)):
        click.echo(f"\n{heading}:" if rows else f"\n{heading}: no such tracks here")
        for row in rows:
            click.echo(
                f"  {row['title'] or row['track_id']} - {row['artist'] or 'unknown artist'}\n    {row['tokens']}"
            )


def _vector_sources(
    audio_root: str | None,
    *,
    text_model: str | None,
    text_prompt: str | None,
    text_backend: str,
    text_precision: str | None,
    text_graph: str | None,
    device: str | None,
    audio_encoder: str,
    clap_checkpoint: str | None,
    clap_model: str | None,
    trust_checkpoint: bool,
    plugins: Pairs,
    plugin_options: Pairs,
    vectors: Pairs,
    vector_ids: Pairs,
    vector_columns: Pairs,
) -> "VectorSources":
    """Collect what the user said of encoders and vectors."""
    from tracktokens.pipelines.encoders import AudioChoice, PluginChoice, TextChoice, VectorsChoice, VectorSources
    from tracktokens.schemas.vectors import VECTOR

    names, paths = _once("--encoder", plugins), _once("--vectors", vectors)
    ids, columns = _once("--vectors-id", vector_ids), _once("--vectors-column", vector_columns)
    _require_main("--encoder-option", [modality for modality, _ in plugin_options], "--encoder", names)
    for option, given in (("--vectors-id", ids), ("--vectors-column", columns)):
        _require_main(option, given, "--vectors", paths)
    return VectorSources(
        TextChoice(text_model, text_prompt, text_backend, text_precision, text_graph),
        audio_root,
        AudioChoice(audio_encoder, clap_checkpoint, clap_model, trust_checkpoint),
        {modality: PluginChoice(name, _options_of(modality, plugin_options)) for modality, name in names.items()},
        {m: VectorsChoice(path, columns.get(m, VECTOR), ids.get(m)) for m, path in paths.items()},
        device,
    )


def _once(option: str, pairs: Pairs) -> dict[str, str]:
    """Values by modality, of which each has one."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise UsageError(f"{option}: give each modality once")
    return values


def _require_main(option: str, modalities: Iterable[str], main_option: str, given: Mapping[str, str]) -> None:
    for modality in modalities:
        if modality not in given:
            raise UsageError(f"{option} {modality}=... goes with {main_option} {modality}=...")


def _options_of(modality: str, pairs: Pairs) -> dict[str, str]:
    """Options for one modality's encoder, out of all that were given as ``KEY=VALUE``."""
    parted = [pair.partition("=") for owner, pair in pairs if owner == modality]
    if broken := [key for key, equals, _ in parted if not (key and equals)]:
        raise UsageError(f"--encoder-option {modality}={broken[0]}: give it as {modality}=KEY=VALUE")
    return {key: value for key, _, value in parted}


def _default_bundle(store: str) -> str:
    from tracktokens.pipelines.releases import default_bundle
    from tracktokens.transforms.store import Store

    return default_bundle(Store.open(store))


add_store_commands(main)
add_match_command(main)

if __name__ == "__main__":
    sys.exit(main())
