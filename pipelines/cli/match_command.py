"""The command ``match``: from tokens back to tracks."""

import json
from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options import NonEmptyStr, json_option, store_option, weights_option

if TYPE_CHECKING:
    from tracktokens.pipelines.analysis.match import MatchedTrack, MatchResult


@click.command()
@click.argument("tokens", metavar="TOKENS", type=NonEmptyStr())
@store_option
@click.option("--release", type=NonEmptyStr(), metavar="ID", help="Release to search; the latest when not given.")
@click.option(
    "--mode",
    type=click.Choice(["exact", "graded"]),
    default="exact",
    show_default=True,
    help="Whether other codes count as well, by the similarity of their centroids.",
)
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="Tracks to find.")
@weights_option
@json_option
def match(
    tokens: str,
    store: str,
    release: str | None,
    mode: str,
    top: int,
    weights: tuple[float, ...] | None,
    as_json: bool,
) -> None:
    """Find the tracks that fit TOKENS best, such as '<|playlist_3|><|audio_7|>': some modalities, in any order."""
    from tracktokens.codebooks.matching.token_index import Matching
    from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
    from tracktokens.pipelines.analysis.match import find_tracks

    found = find_tracks(store, tokens, release, Matching(weights or MATCHING_WEIGHTS, graded=mode == "graded"), top)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        _print_found(found)


def add_match_command(main: click.Group) -> None:
    """Put the command under the main one."""
    main.add_command(match)


def _print_found(found: "MatchResult") -> None:
    for track in found.tracks:
        name = f"{track.title or track.track_id} - {track.artist or 'unknown artist'}"
        click.echo(f"{track.score:.3f}  {name}  ({_matched(track)})\n       {track.tokens}")
    if not found.tracks:
        click.echo(f"no track of {found.release_id} fits")


def _matched(track: "MatchedTrack") -> str:
    """The modalities that add to the score, with their similarity where it is not 1."""
    return ", ".join(
        modality if similarity == 1 else f"{modality} {similarity:.2f}"
        for modality, similarity in track.similarities.items()
        if similarity
    )
