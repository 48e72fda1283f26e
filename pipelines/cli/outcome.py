"""The end of a command that publishes a release, or finds it up to date: its report, its figures, and its folder."""

from typing import TYPE_CHECKING

from tracktokens.pipelines.terminal import echo

if TYPE_CHECKING:
    from tracktokens.pipelines.jobs.run import RunResult
    from tracktokens.pipelines.progress_display import ProgressDisplay


def show_outcome(outcome: "RunResult", display: "ProgressDisplay", metrics_file: str | None) -> None:
    """Print the report on standard error and the release's folder on standard output, and write the metrics file."""
    from tracktokens.pipelines.analysis.report import seconds_table
    from tracktokens.pipelines.jobs.metrics_file import write_metrics_file
    from tracktokens.transforms.release.report import release_report

    display.console.print(release_report(outcome.release.metrics))
    if outcome.published:
        display.console.print(seconds_table(outcome.seconds))
    else:
        display.console.print("Nothing changed since this release: it stays in use, and none was published.")
    if metrics_file is not None:
        write_metrics_file(metrics_file, outcome)
    echo(f"release: {outcome.release.folder}")
