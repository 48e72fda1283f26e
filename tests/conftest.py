"""Fixtures of all tests: the demo catalog, and one run over it."""

import gc
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo_run import DemoRun, demo_job
from tests.support.made_once import made_once
from tracktokens.pipelines.cli.options import encoder_options
from tracktokens.pipelines.demo.catalog import DemoCatalog, make_demo
from tracktokens.pipelines.runner import PipelineRunner


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return made_once(tmp_path_factory, "demo", lambda folder: make_demo(folder / "catalog"))


@pytest.fixture(scope="session")
def demo_run(demo: DemoCatalog, tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The run, and a copy of its store, which later jobs of this process may extend."""
    made, outcome = made_once(
        tmp_path_factory,
        "demo-run",
        lambda folder: (folder / "store", demo_job(demo, folder / "store").run(PipelineRunner())),
    )
    store = tmp_path_factory.mktemp("run") / "store"
    shutil.copytree(made, store)
    folder = str(store / Path(outcome.release.folder).relative_to(made))
    return DemoRun(demo, store, replace(outcome, release=replace(outcome.release, folder=folder)))


@pytest.fixture
def unchecked_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let options name tables that do not exist, where only their names matter."""
    monkeypatch.setattr(encoder_options, "_check_tables_exist", lambda given: None)


def pytest_configure() -> None:
    """Handle the signals that tests send, also where the shell ignores them, as it does for a job in the background."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_finish() -> None:
    """Leave what exists before the first test, such as modules and tests, out of all garbage collections."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Print how a worker process of pytest died: a negative number is a signal."""
    if error:
        print(f"\nworker {node.gateway.id} ended with status {node.gateway._io.popen.wait(10)}")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their argument: their content is long, and compressed content may differ between processes."""
    return argname if isinstance(val, bytes) else None
