"""Counts of a running job."""

from pathlib import Path

from tracktokens.transforms.runtime.progress import ProgressReporter


def test_counts_are_added_up_by_stage(tmp_path: Path) -> None:
    progress = ProgressReporter(str(tmp_path))
    progress.add("encode", total=5)
    progress.add("encode", done=2)
    progress.add("scan", done=1)
    (tmp_path / "other-process.json").write_text('{"encode": {"done": 1, "total": 4}}')
    assert progress.read() == {"encode": {"done": 3, "total": 9}, "scan": {"done": 1, "total": 0}}


def test_a_worker_without_the_shared_folder_writes_nothing(tmp_path: Path) -> None:
    ProgressReporter(str(tmp_path / "elsewhere")).add("encode", done=1)
    ProgressReporter().add("encode", done=1)
    assert list(tmp_path.iterdir()) == []
