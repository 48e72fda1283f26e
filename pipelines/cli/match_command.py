"""The command ``match``: from tokens back to tracks."""

from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    json_option,
    release_option,
    store_option,
    weights_option,
)
from tracktokens.pipelines.terminal import echo, format_json
from tracktokens.schemas.display import printable

if TYPE_CHECKING:
    from tracktokens.pipelines.analysis.match import MatchedTrack, MatchResult


@click.command(name="match")
@click.argument("tokens", metavar="TOKENS", type=NonEmptyStr())
@store_option
@release_option
@click.option(
    "--mode",
    type=click.Choice(["exact", "graded"]),
    default="exact",
    help="Exact codes only, or other codes too, by the similarity of their centroids.",
)
@click.option("--top", default=10, type=click.IntRange(1), help="Number of tracks to list.")
@weights_option
@json_option
def match_command(
    tokens: str,
    store: str,
    release: str | None,
    mode: str,
    top: int,
    weights: tuple[float, ...] | None,
    as_json: bool,
) -> None:
    """Find the tracks that match TOKENS best, such as '<|playlist_3|><|audio_7|>': any modalities, in any order."""
    from tracktokens.codebooks.matching.token_index import Matching
    from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
    from tracktokens.pipelines.analysis.match import find_tracks

    result = find_tracks(store, tokens, release, Matching(weights or MATCHING_WEIGHTS, graded=mode == "graded"), top)
    if as_json:
        echo(format_json(result.to_json()))
    else:
        _print_result(result)


def _print_result(result: "MatchResult") -> None:
    for track in result.tracks:
        name = f"{track.title or track.track_id} - {track.artist or 'unknown artist'}"
        echo(f"{track.score:.3f}  {printable(name)}  ({_matching_modalities(track)})\n       {track.tokens}")
    if not result.tracks:
        echo(f"no track of {result.release_id} matches")


def _matching_modalities(track: "MatchedTrack") -> str:
    """List the modalities that add to the score, with their similarity if it is not 1."""
    return ", ".join(
        modality if similarity == 1 else f"{modality} {similarity:.2f}"
        for modality, similarity in track.similarities.items()
        if similarity
    )
