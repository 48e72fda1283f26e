"""The table of an evaluation of conversations."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tracktokens.codebooks.metrics.turn_ranking import METRICS
from tracktokens.pipelines.analysis.conversations.evaluate import ConversationEvaluation, SystemQuality

WITH_INTERVAL = "ndcg@10"
"""Metric whose interval is in the table; JSON has those of all."""

HEADINGS = {"ndcg": "nDCG", "hit": "Hit", "mrr": "MRR"}


def headings() -> list[str]:
    """List the columns, with line ends in them."""
    columns = ["system"]
    for name in METRICS:
        metric, _, cut = name.partition("@")
        columns.append(f"{HEADINGS[metric]}\n@{cut}" if cut else HEADINGS[metric])
        columns += ["95 %"] if name == WITH_INTERVAL else []
    return [*columns, "diver-\nsity", "dist-\ninct-2"]


def cells(quality: SystemQuality) -> list[str]:
    """Format the row of a system, without its name."""
    row = []
    for name in METRICS:
        estimate = quality.metrics.get(name)
        row.append("" if estimate is None else _short(estimate.mean))
        if name == WITH_INTERVAL:
            row.append("" if estimate is None else f"{_short(estimate.low)}-{_short(estimate.high)}")
    return [*row, _short(quality.catalog_diversity), "" if quality.distinct_2 is None else _short(quality.distinct_2)]


def conversation_report(evaluation: ConversationEvaluation) -> Table:
    """Build the table of an evaluation, one row per system; 80 columns wide."""
    title = f"{evaluation.turns} turns of {evaluation.conversations} conversations, {evaluation.tracks} tracks"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    name, *columns = headings()
    table.add_column(name)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for system, quality in evaluation.qualities.items():
        table.add_row(system, *cells(quality))
    return table


def _short(value: float) -> str:
    """Format a share with three decimals, without the zero before the point."""
    return f"{value:.3f}".removeprefix("0")
