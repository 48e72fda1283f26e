"""The cases: a copy of the folder for each test, and a table of how the commands ended."""

from pathlib import Path

import pytest

from tests.support.case_folder import CASES, CaseFolder


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> CaseFolder:
    """The case that the test is named after."""
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    if not (CASES / name).is_dir():
        pytest.skip(f"needs the cases of bad input in {CASES}")
    case = CaseFolder.copy(name, tmp_path / "case")
    request.node.user_properties.append(("ended", case.summaries))
    return case


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how the commands of each case ended."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    for report in sorted(reports, key=lambda report: report.nodeid):
        ended = dict(report.user_properties).get("ended")
        if ended is not None:
            name = report.nodeid.rpartition("::test_")[2].replace("_", "-")
            terminalreporter.write_line(f"{report.outcome:6} {name}: {' / '.join(ended)}")
