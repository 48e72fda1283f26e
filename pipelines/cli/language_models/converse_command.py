"""The command ``converse``: conversations from playlists."""

from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    Share,
    json_lines_option,
    json_option,
    max_reject_rate_option,
    release_option,
    store_option,
)
from tracktokens.pipelines.terminal import echo, format_json
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.conversations.converse import ConverseStats


@click.command(name="converse")
@store_option
@release_option
@click.option("--playlists", required=True, type=NonEmptyStr(), metavar="PATH", help="Playlists: file, folder or glob.")
@click.option(
    "--test-playlists",
    type=NonEmptyStr(),
    metavar="PATH",
    help="Playlists of the test conversations; by default a share of --playlists.",
)
@click.option(
    "--tracks", type=NonEmptyStr(), metavar="PATH", help="Tracks with albums, years and lyrics, which become goals."
)
@json_lines_option
@click.option(
    "--conversations", type=click.IntRange(1), metavar="N", help="Number of conversations; one per playlist by default."
)
@click.option(
    "--languages",
    type=NonEmptyStr(),
    metavar="CODE,...",
    help="Languages to draw from: en, de, es, fr. By default, that of a playlist's titles.",
)
@click.option(
    "--least-tracks",
    default=4,
    type=click.IntRange(2),
    help="Known tracks that a playlist needs.",
)
@click.option("--validation-share", default=0.1, type=Share(), help="Share of the playlists.")
@click.option("--test-share", default=0.1, type=Share(), help="Share of the playlists.")
@click.option("--llm", metavar="URL", type=NonEmptyStr(), help="OpenAI-compatible endpoint that words the plans.")
@click.option("--llm-model", metavar="NAME", type=NonEmptyStr(), help="Model of the endpoint.")
@click.option("--llm-tries", default=3, type=click.IntRange(1), help="Answers per conversation.")
@click.option("--llm-retries", default=4, type=click.IntRange(0), help="Repeats of failed requests.")
@click.option("--llm-timeout", default=120.0, type=click.FloatRange(0.1), help="Seconds per answer.")
@click.option("--llm-max-tokens", default=4096, type=click.IntRange(0), help="Tokens per answer; 0 for any number.")
@click.option("--llm-concurrency", default=4, type=click.IntRange(1, 256), help="Parallel requests.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Seed of all draws.")
@max_reject_rate_option
@json_option
def converse_command(
    store: str,
    release: str | None,
    playlists: str,
    test_playlists: str | None,
    tracks: str | None,
    out: str,
    conversations: int | None,
    languages: str | None,
    least_tracks: int,
    validation_share: float,
    test_share: float,
    llm: str | None,
    llm_model: str | None,
    llm_tries: int,
    llm_retries: int,
    llm_timeout: float,
    llm_max_tokens: int,
    llm_concurrency: int,
    seed: int,
    max_reject_rate: float,
    as_json: bool,
) -> None:
    """Make conversations about the tracks of playlists, in which an assistant recommends them."""
    from tracktokens.pipelines.conversations.converse import ConverseOptions, converse
    from tracktokens.pipelines.conversations.splits import SplitShares
    from tracktokens.pipelines.conversations.track_card import LANGUAGES
    from tracktokens.transforms.store import files
    from tracktokens.transforms.store.user_files import is_standard_output, is_stream

    if validation_share + test_share > 1:
        raise UsageError("--validation-share and --test-share are more than 1 together: give smaller ones")
    if (llm is None) != (llm_model is None):
        raise UsageError("--llm and --llm-model belong together: give both or none")
    endpoint = None
    if llm is not None and llm_model is not None:
        from tracktokens.pipelines.conversations.llm_wording import LlmOptions

        endpoint = LlmOptions(
            url=llm,
            model=llm_model,
            tries=llm_tries,
            retries=llm_retries,
            timeout=llm_timeout,
            max_tokens=llm_max_tokens or None,
            concurrency=llm_concurrency,
            seed=seed,
            cache=None if files.is_remote(out) or is_stream(out) else f"{out}.answers.sqlite",
        )
    options = ConverseOptions(
        playlists=playlists,
        release=release,
        test_playlists=test_playlists,
        tracks=tracks,
        conversations=conversations,
        languages=LANGUAGES if languages is None else _parse_languages(languages),
        draw_language=languages is not None,
        least_tracks=least_tracks,
        shares=SplitShares(validation_share, test_share),
        seed=seed,
        max_reject_rate=max_reject_rate,
        llm=endpoint,
    )
    stats = converse(store, out, options)
    echo(format_json(stats.to_json()) if as_json else _describe(stats), err=is_standard_output(out))


def _parse_languages(text: str) -> tuple[str, ...]:
    from tracktokens.pipelines.conversations.track_card import LANGUAGES

    languages = tuple(dict.fromkeys(code.strip() for code in text.split(",")))
    unknown = [code for code in languages if code not in LANGUAGES]
    if unknown:
        raise UsageError(f"--languages: {unknown[0]!r} is not one of {', '.join(LANGUAGES)}")
    return languages


def _describe(stats: "ConverseStats") -> str:
    """Describe the counts in some lines."""
    lines = [
        f"{stats.playlists_read} playlists read, {stats.playlists_used} used, {stats.playlists_rejected} rejected, "
        f"{stats.entries_unknown} entries of unknown tracks",
        f"{stats.conversations.total()} conversations: {_counted(stats.conversations)}",
        f"languages: {_counted(stats.languages)}",
        f"goals: {_counted(stats.goals)}",
        f"turns: {_counted(stats.acts)}",
        f"{stats.recommendations} recommendations of {stats.tracks} tracks",
        f"{stats.skeletons} different sentence skeletons, distinct-2 {stats.distinct_2:.3f}",
    ]
    lines += [f"language model: {_counted(stats.llm)}"] if stats.llm else []
    lines += [f"table of tracks: {_counted(stats.tracks_table)}"] if stats.tracks_table else []
    return "\n".join(lines)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.removeprefix('tracks_')}" for name, count in sorted(counts.items())) or "none"
