"""Tables of a release's metrics for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from tracktokens.codebooks.metrics.drift import MIN_TRACKS_PER_CODE
from tracktokens.schemas.tables.token_changes import CODEBOOK_CHANGED, INPUT_CHANGED, NEW, REMOVED

VECTOR_ROWS = {"read": "rows read", "used": "rows used", "unknown": "rows of unknown tracks"}
"""Count of the precomputed embeddings to its name in the report."""


def release_report(metrics: Mapping[str, Any]) -> Group:
    """Build the tables of the content of ``metrics.json``."""
    tables = [_rows(metrics), _modalities(metrics), _quality(metrics), _token_table(metrics)]
    if metrics["changes"] is not None:
        tables += [_changes(metrics)]
    if metrics["drift"] is not None:
        tables += [_drift(metrics)]
    return Group(*tables)


def few_tracks(modalities: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """List the modalities, of those of ``metrics.json``, whose codes have too few tracks for figures of quality.

    Where most codes have a track or two, they explain all differences between tracks, whatever was trained.
    """
    return [m for m, use in modalities.items() if 0 < use["tracks"] < MIN_TRACKS_PER_CODE * use["centroids"]]


def few_tracks_note(modalities: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Warn of figures that mean nothing; None where all do."""
    if not (names := few_tracks(modalities)):
        return None
    return (
        f"{', '.join(names)}: fewer than {MIN_TRACKS_PER_CODE} tracks per code, so most codes have a track or two, and "
        "figures of quality mean nothing: use fewer codes, or more tracks"
    )


def format_number(value: float | None, form: str) -> str:
    """Format a number by a format specification; ``-`` for None."""
    return "-" if value is None else format(value, form)


def _changes(metrics: Mapping[str, Any]) -> Table:
    """Token changes since the previous release."""
    table = Table("tokens changed", "new track", "removed track", "input changed", "codebook changed")
    for modality, counts in (metrics["changes"] or {}).items():
        table.add_row(modality, *(str(counts[why]) for why in (NEW, REMOVED, INPUT_CHANGED, CODEBOOK_CHANGED)))
    return table


def _drift(metrics: Mapping[str, Any]) -> Table:
    """Drift since the usage baseline."""
    drift = metrics["drift"] or {"modalities": {}}
    table = Table(
        "drift", "new tracks", "beyond p95 distance", "below p05 margin", "stability index", "coverage", "baseline"
    )
    for modality, moved in drift["modalities"].items():
        table.add_row(
            modality,
            str(moved["new"]["tracks"]),
            format_number(moved["new"]["far_share"], ".1%"),
            format_number(moved["new"]["unsure_share"], ".1%"),
            f"{moved['stability_index']:.3f}",
            f"{moved['coverage_now']:.1%}",
            f"{moved['coverage_then']:.1%}",
        )
    return table


def _rows(metrics: Mapping[str, Any]) -> Table:
    table = Table("rows", "count")
    table.add_row("tracks read", str(metrics["rows"]["read"]))
    table.add_row("tracks in the token table", str(metrics["rows"]["published"]))
    table.add_row("tracks rejected", str(metrics["rows"]["rejected"]))
    if metrics["playlists"]:
        table.add_row("playlists read", str(metrics["playlists"]["playlists_read"]))
        table.add_row("playlists used", str(metrics["playlists"]["playlists_used"]))
        table.add_row("playlists rejected", str(metrics["playlists"]["playlists_rejected"]))
        table.add_row("playlist entries of unknown tracks", str(metrics["playlists"]["entries_unknown"]))
    for modality, counts in metrics["vectors"].items():
        for name, label in VECTOR_ROWS.items():
            table.add_row(f"{modality} embeddings: {label}", str(counts[name]))
    for kind, reasons in metrics["rejects"].items():
        for reason, count in reasons.items():
            table.add_row(f"rejects in {kind}: {reason}", str(count))
    return table


def _modalities(metrics: Mapping[str, Any]) -> Table:
    table = Table("modality", "tracks", "coverage", "codes used", "codebook size", "perplexity", "inputs encoded")
    for modality, usage in metrics["modalities"].items():
        table.add_row(
            modality,
            str(usage["tracks"]),
            f"{usage['coverage']:.1%}",
            f"{usage['codes_used']} of {usage['centroids']}",
            str(usage["reserved"]),
            f"{usage['perplexity']:.1f}",
            str(metrics["inputs"]["encoded"].get(modality, "-")),
        )
    return table


def _quality(metrics: Mapping[str, Any]) -> Table:
    table = Table(
        "modality", "inertia", "explained variance", "dead codes", "largest code", "margin p05 / p50", "recall@10"
    )
    for modality, quality in metrics["modalities"].items():
        margins, recall = quality["relative_margins"], quality["neighbours"]
        table.add_row(
            modality,
            format_number(quality["inertia"], ".4f"),
            format_number(quality["explained_variance"], ".1%"),
            str(quality["dead_codes"]),
            format_number(quality["largest_code_share"], ".2%"),
            f"{margins['p05']:.3f} / {margins['p50']:.3f}" if margins else "-",
            format_number(recall["recall"], ".2f") if recall else "-",
        )
    table.caption = few_tracks_note(metrics["modalities"])
    return table


def _token_table(metrics: Mapping[str, Any]) -> Table:
    """Uniqueness of the tokens: of the first tokens of a track, where it has more than one per modality, and of all."""
    parts = [(f"first {count}", part) for count, part in metrics.get("prefixes", {}).items()]
    table = Table("tokens of a track", *(name for name, _ in parts), "all" if parts else "five")
    values = [_uniqueness(part) for _, part in parts] + [_uniqueness(metrics)]
    for name in values[0]:
        table.add_row(name, *(column[name] for column in values))
    if (numbers := metrics.get("numbers")) is not None:
        table.add_row(
            "tracks that share the last number for lack of numbers", *("" for _ in parts), str(numbers["overflow"])
        )
    return table


def _uniqueness(metrics: Mapping[str, Any]) -> dict[str, str]:
    tokens, oracle = metrics["tokens"], metrics["oracle"]["every_track"]
    hits = (format_number(oracle[name], ".3f") for name in ("hit_at_1", "hit_at_10"))
    return {
        "tracks with unique tokens": format_number(tokens["uniquely_identified_track_rate"], ".1%"),
        "tracks that share them with another id of the same song": str(tokens["same_song_tracks"]),
        "tracks that share them with another song": format_number(tokens["collision_rate"], ".1%"),
        "most tracks with the same tokens": str(tokens["largest_set_tracks"]),
        "upper bound of MRR": format_number(oracle["mrr"], ".3f"),
        "upper bound of Hit@1, Hit@10": ", ".join(hits),
    }
