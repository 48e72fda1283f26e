"""What a release came to, as tables for people: in the terminal, and as ``report.html``."""

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.token_changes import CODEBOOK_CHANGED, INPUT_CHANGED, NEW, REMOVED


def report(metrics: Mapping[str, Any]) -> Group:
    """Rows, rejects by reason, each modality's codes, and how well tokens tell tracks apart."""
    tables = [_rows(metrics), _modalities(metrics), _quality(metrics), _token_table(metrics)]
    if metrics["changes"] is not None:
        tables += [_changes(metrics)]
    if metrics["drift"] is not None:
        tables += [_drift(metrics)]
    return Group(*tables)


def report_html(metrics: Mapping[str, Any], title: str) -> bytes:
    """Render a report as a page of its own."""
    console = Console(record=True, file=io.StringIO(), width=110)
    console.print(title, report(metrics))
    return console.export_html().encode()


def _changes(metrics: Mapping[str, Any]) -> Table:
    """Tokens that are other ones than in the release before."""
    table = Table("tokens changed", "new track", "removed track", "input changed", "codebook changed")
    for modality, counts in (metrics["changes"] or {}).items():
        table.add_row(modality, *(str(counts[why]) for why in (NEW, REMOVED, INPUT_CHANGED, CODEBOOK_CHANGED)))
    return table


def _drift(metrics: Mapping[str, Any]) -> Table:
    """How far the catalog has moved since the bundle was first published."""
    drift = metrics["drift"] or {"modalities": {}}
    table = Table("drift", "new tracks", "far out", "unsure", "stability index", "coverage then", "now")
    for modality, found in drift["modalities"].items():
        table.add_row(
            modality,
            str(found["new"]["tracks"]),
            _number(found["new"]["far_share"], ".1%"),
            _number(found["new"]["unsure_share"], ".1%"),
            f"{found['stability_index']:.3f}",
            f"{found['coverage_then']:.1%}",
            f"{found['coverage_now']:.1%}",
        )
    return table


def seconds_table(seconds: Mapping[str, float]) -> Table:
    """Wall time of each stage."""
    table = Table("stage", "seconds")
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent:.1f}")
    table.add_row("all", f"{sum(seconds.values()):.1f}")
    return table


def kept_table(kept: Mapping[str, float | None], without: Mapping[str, float | None]) -> Table:
    """Share of the tracks that keep their code through a retraining, and without renumbering the codes."""
    table = Table("modality", "tracks that keep their code", "without renumbering")
    for modality, share in kept.items():
        table.add_row(modality, _number(share, ".2%"), _number(without[modality], ".2%"))
    return table


def _rows(metrics: Mapping[str, Any]) -> Table:
    table = Table("rows", "count")
    table.add_row("tracks read", str(metrics["rows"]["read"]))
    table.add_row("tracks in the token table", str(metrics["rows"]["published"]))
    table.add_row("tracks rejected", str(metrics["rows"]["rejected"]))
    if metrics["playlists"]:
        table.add_row("playlists read", str(metrics["playlists"]["playlists_read"]))
        table.add_row("playlists used", str(metrics["playlists"]["playlists_used"]))
    for modality, counts in metrics["vectors"].items():
        for fate in ("read", "used", "unknown"):
            table.add_row(f"{modality} vectors {fate}", str(counts[fate]))
    for kind, reasons in metrics["rejects"].items():
        for reason, count in reasons.items():
            table.add_row(f"rejects of {kind}: {reason}", str(count))
    return table


def _modalities(metrics: Mapping[str, Any]) -> Table:
    table = Table("modality", "tracks", "coverage", "codes used", "reserved", "perplexity", "encoded")
    for modality in MODALITIES:
        use = metrics["modalities"][modality]
        table.add_row(
            modality,
            str(use["tracks"]),
            f"{use['coverage']:.1%}",
            f"{use['codes_used']} of {use['centroids']}",
            str(use["reserved"]),
            f"{use['perplexity']:.1f}",
            str(metrics["inputs"]["encoded"].get(modality, "-")),
        )
    return table


def _quality(metrics: Mapping[str, Any]) -> Table:
    table = Table("modality", "inertia", "explained", "dead codes", "largest code", "margin p05 / p50", "recall@10")
    for modality in MODALITIES:
        quality = metrics["modalities"][modality]
        margins, recall = quality["relative_margins"], quality["neighbours"]
        table.add_row(
            modality,
            _number(quality["inertia"], ".4f"),
            _number(quality["explained_variance"], ".1%"),
            str(quality["dead_codes"]),
            _number(quality["largest_code_share"], ".2%"),
            f"{margins['p05']:.3f} / {margins['p50']:.3f}" if margins else "-",
            _number(recall["recall"], ".2f") if recall else "-",
        )
    return table


def _token_table(metrics: Mapping[str, Any]) -> Table:
    tokens, oracle = metrics["tokens"], metrics["oracle"]["every_track"]
    table = Table("tokens of a track", "")
    table.add_row("theirs alone", _number(tokens["uniquely_identified_track_rate"], ".1%"))
    table.add_row("shared with the same song under another id", str(tokens["same_song_tracks"]))
    table.add_row("shared with another song", _number(tokens["collision_rate"], ".1%"))
    table.add_row("most tracks with the same tokens", str(tokens["largest_set_tracks"]))
    table.add_row("best MRR that a model could reach", _number(oracle["mrr"], ".3f"))
    table.add_row("best Hit@1, Hit@10", f"{_number(oracle['hit_at_1'], '.3f')}, {_number(oracle['hit_at_10'], '.3f')}")
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
