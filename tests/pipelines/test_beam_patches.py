"""Tests of the changes to Beam: what they fix is still so in Beam, and fixed with them."""

import inspect
import threading
from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.runners.worker.data_plane import TimeBasedBufferingClosableOutputStream as Stream
from apache_beam.transforms import core
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, get_dofn_specs

from tracktokens.pipelines.beam_patches import keep_parameters, lock_streams

HOUR_MS = 3_600_000


def write_during_a_flush() -> bytes:
    """Write to a stream while it is flushed; return what it has afterwards, which the next flush would send."""
    writers: list[threading.Thread] = []

    def send(content: bytes) -> None:
        writers.append(threading.Thread(target=stream.write, args=(b"second",)))
        writers[0].start()
        writers[0].join(timeout=0.3)  # it ends only if it does not wait for the flush

    stream = Stream(lambda _: None, flush_callback=send, time_flush_threshold_ms=HOUR_MS)
    stream.write(b"first")
    stream.flush()
    writers[0].join()
    content = stream.get()
    stream.close()
    return bytes(content)


@pytest.fixture
def beams_own(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    own: Callable[..., None] = inspect.unwrap(Stream.write)
    monkeypatch.setattr(Stream, "write", own)
    return own


def test_beam_still_loses_what_is_written_during_a_flush(beams_own: Callable[..., None]) -> None:
    assert write_during_a_flush() == b"", "Beam has mended this: remove lock_streams from pipelines/beam_patches.py"


def test_what_is_written_during_a_flush_is_sent_by_the_next(beams_own: Callable[..., None]) -> None:
    lock_streams()
    assert write_during_a_flush() == b"second"


def test_a_second_lock_changes_nothing(beams_own: Callable[..., None]) -> None:
    lock_streams()
    locked = Stream.write
    lock_streams()
    assert Stream.write is locked


class Stateful(beam.DoFn):
    """A step with state, and with another method of the name in its subclass."""

    STATE = ReadModifyWriteStateSpec("count", VarIntCoder())

    def process(self, element: object, count: object = beam.DoFn.StateParam(STATE)) -> None:
        """Take an element."""


class Stateless(Stateful):
    """Its ``process`` replaces that with state."""

    def process(self, element: object, time: object = beam.DoFn.TimestampParam) -> None:
        """Take an element."""


@pytest.fixture
def beams_own_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "get_function_args_defaults", inspect.unwrap(core.get_function_args_defaults))


def count_inspections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    inspected: list[object] = []
    own = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda function: inspected.append(function) or own(function))
    return inspected


@pytest.mark.usefixtures("beams_own_inspection")
def test_beam_still_inspects_a_step_again_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    get_dofn_specs(Stateful())
    inspected = count_inspections(monkeypatch)
    get_dofn_specs(Stateful())
    assert inspected, "Beam has mended this: remove keep_parameters from pipelines/beam_patches.py"


@pytest.mark.usefixtures("beams_own_inspection")
def test_a_step_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_parameters()
    get_dofn_specs(Stateful())
    inspected = count_inspections(monkeypatch)
    assert get_dofn_specs(Stateful()) == ({Stateful.STATE}, set())
    assert not inspected


@pytest.mark.usefixtures("beams_own_inspection")
def test_parameters_are_those_that_beam_finds() -> None:
    functions = [
        *(getattr(step, name) for step in (Stateful(), Stateless()) for name in ("process", "setup", "finish_bundle")),
        Stateful.process,
        lambda element, side=3: element,
        len,
        beam.Map(lambda element: element).fn.process,
    ]
    expected = [core.get_function_args_defaults(function) for function in functions]
    keep_parameters()
    for _ in range(2):
        assert [core.get_function_args_defaults(function) for function in functions] == expected
    assert get_dofn_specs(Stateless()) == (set(), set())


@pytest.mark.usefixtures("beams_own_inspection")
def test_callers_may_change_the_lists() -> None:
    keep_parameters()
    names, _ = core.get_function_args_defaults(Stateful().process)
    names.clear()
    assert core.get_function_args_defaults(Stateful().process)[0] == ["element", "count"]


@pytest.mark.usefixtures("beams_own_inspection")
def test_a_second_call_changes_nothing() -> None:
    keep_parameters()
    kept = core.get_function_args_defaults
    keep_parameters()
    assert core.get_function_args_defaults is kept
