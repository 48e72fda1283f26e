"""A runner mode that does work more than once, as a cluster does: repeats, rivals at the same time, and failures.

Beam repeats every bundle (``--direct_runner_bundle_repeat``) and keeps the last one's output. On top of that, each call
of ``process`` of our own ``DoFn`` classes has company by another copy of the ``DoFn``, by turns: one that runs at the
same time, one that ran before and then failed, so that its output is lost, and one that died half-way.
"""

import functools
import importlib
import pkgutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import apache_beam as beam
from apache_beam.internal import pickler

from tracktokens import pipelines, transforms
from tracktokens.pipelines.runner import PipelineRunner

RUNNER = PipelineRunner(beam_options=("--direct_runner_bundle_repeat=1",))
"""Executes every bundle twice, one after the other."""

RIVAL, FAILED, DIED = "rival", "failed", "died"
COMPANY = (RIVAL, FAILED, DIED)


@contextmanager
def duplicate_work() -> Iterator[Counter[str]]:
    """Duplicate the work of jobs in this block; yields the number of extra calls per kind and class."""
    done: Counter[str] = Counter()
    patches = [patch.object(dofn, "process", _accompanied(dofn.process, done)) for dofn in our_dofns()]
    for one in patches:
        one.start()
    try:
        yield done
    finally:
        for one in patches:
            one.stop()


def our_dofns() -> list[type[beam.DoFn]]:
    """List the ``DoFn`` classes of the package."""
    for package in (transforms, pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return [dofn for dofn in _subclasses(beam.DoFn) if dofn.__module__.startswith("tracktokens.")]


def _subclasses(base: type) -> Iterator[type]:
    for one in base.__subclasses__():
        yield one
        yield from _subclasses(one)


def _accompanied(process: Callable[..., Any], done: Counter[str]) -> Callable[..., Any]:
    @functools.wraps(process)
    def process_with_company(dofn: beam.DoFn, *args: Any, **kwargs: Any) -> Any:
        kind = COMPANY[done.total() % len(COMPANY)]
        done[f"{kind} {type(dofn).__name__}"] += 1
        copy = pickler.loads(pickler.dumps(dofn))
        copy.setup()
        if kind == RIVAL:
            return _beside(lambda: list(process(copy, *args, **kwargs) or ()), lambda: process(dofn, *args, **kwargs))
        _try(process, copy, kind, *args, **kwargs)
        return process(dofn, *args, **kwargs)

    return process_with_company


def _try(process: Callable[..., Any], copy: beam.DoFn, kind: str, *args: Any, **kwargs: Any) -> None:
    """Run to the end, or to the first output, and drop the output."""
    output = iter(process(copy, *args, **kwargs) or ())
    if kind == DIED:
        next(output, None)
    else:
        list(output)
    copy.teardown()


def _beside(rival: Callable[[], object], own: Callable[[], Any]) -> list[object]:
    """Run both at the same time; return the own output. An error of the rival is raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            rival()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return list(own() or ())
    finally:
        thread.join()
        if errors:
            raise errors[0]
