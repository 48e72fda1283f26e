"""The state of a release in plain words, each finding within its limit, beyond it, or without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracktokens.codebooks.metrics.drift import MIN_TRACKS_PER_CODE, DriftLimits
from tracktokens.pipelines.catalog_source import MAX_REJECT_RATE
from tracktokens.schemas.token_format import modality_of
from tracktokens.transforms.release.report import few_tracks

GOOD, BAD, NOTE = "good", "bad", "note"
"""Within the limit, beyond it, or without a limit."""


@dataclass(frozen=True)
class Finding:
    """One sentence.

    Attributes:
        state: ``GOOD``, ``BAD`` or ``NOTE``.
        text: the finding.
        limit: the limit that it is compared with, in words; empty without one.
    """

    state: str
    text: str
    limit: str = ""


def findings(metrics: Mapping[str, Any], limits: DriftLimits | None = None) -> list[Finding]:
    """Describe the content of ``metrics.json``.

    Args:
        metrics: the content.
        limits: limits of drift; the defaults when they are None.
    """
    return [
        *_rows(metrics["rows"]),
        *_tokens(metrics),
        *_codebooks(metrics["modalities"]),
        *_drift(metrics.get("drift"), limits or DriftLimits()),
    ]


def _rows(rows: Mapping[str, int]) -> Iterator[Finding]:
    rejected = rows["rejected"] / rows["read"] if rows["read"] else 0.0
    yield _limited(
        rejected <= MAX_REJECT_RATE,
        f"{rows['published']:,} of {rows['read']:,} tracks have tokens; {rows['rejected']:,} were rejected.",
        f"at most {MAX_REJECT_RATE:.0%} rejected",
    )


def _tokens(metrics: Mapping[str, Any]) -> Iterator[Finding]:
    tokens, perfect = metrics["tokens"], metrics["oracle"]["every_track"]
    if tokens["uniquely_identified_track_rate"] is not None:
        yield Finding(
            NOTE,
            f"{tokens['uniquely_identified_track_rate']:.1%} of the tracks have tokens of their own; at most "
            f"{tokens['largest_set_tracks']:,} tracks share the same.",
        )
    if perfect["hit_at_1"] is not None:
        yield Finding(
            NOTE,
            f"A perfect model would find the right track first for {perfect['hit_at_1']:.1%} of the tracks, and among "
            f"ten for {perfect['hit_at_10']:.1%}.",
        )
    if tokens["tokenless_tracks"]:
        yield Finding(BAD, f"{tokens['tokenless_tracks']:,} tracks have no token at all.", "none")


def _codebooks(modalities: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    few = few_tracks(modalities)
    for name, usage in modalities.items():
        if not usage["tracks"]:
            if name == modality_of(name):
                yield Finding(NOTE, f"{name}: no track has a code.")
            continue
        enough = name not in few
        text = (
            f"{name}: {usage['coverage']:.1%} of the tracks have a code; "
            f"{usage['codes_used']:,} of {usage['centroids']:,} codes are in use"
        )
        if usage["explained_variance"] is not None and enough:
            text += f", and explain {usage['explained_variance']:.1%} of the differences between tracks"
        if enough:
            yield Finding(NOTE, f"{text}.")
        else:
            yield Finding(
                BAD,
                f"{text}. {usage['tracks']:,} tracks are too few for {usage['centroids']:,} codes: most codes have one "
                "track or two, so figures of quality mean nothing here.",
                f"at least {MIN_TRACKS_PER_CODE} tracks per code",
            )


def _drift(drift: Mapping[str, Any] | None, limits: DriftLimits) -> Iterator[Finding]:
    if drift is None:
        yield Finding(NOTE, "This is the first release of its codebooks: later ones are compared with it.")
        return
    for name, moved in drift["modalities"].items():
        index, loss = moved["stability_index"], moved["coverage_then"] - moved["coverage_now"]
        yield _limited(
            index <= limits.stability_index,
            f"{name}: codes are used {'much as' if index <= limits.stability_index else 'differently than'} at first "
            f"(stability index {index:.3f}).",
            f"at most {limits.stability_index}",
        )
        if loss > limits.coverage_loss:
            then, now = moved["coverage_then"], moved["coverage_now"]
            yield Finding(
                BAD,
                f"{name}: {now:.1%} of the tracks have a code, {then:.1%} at first.",
                f"at most {100 * limits.coverage_loss:.0f} points less",
            )
        new = moved["new"]
        for share, limit, words in (
            (new["far_share"], limits.beyond_p95_distance_share, "far from their code"),
            (new["unsure_share"], limits.below_p05_margin_share, "between two codes"),
        ):
            if share is not None:
                yield _limited(
                    share <= limit,
                    f"{name}: {share:.1%} of {new['tracks']:,} new tracks are {words}.",
                    f"at most {limit:.0%}",
                )


def _limited(within: bool, text: str, limit: str) -> Finding:
    return Finding(GOOD if within else BAD, text, limit)
