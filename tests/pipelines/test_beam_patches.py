"""Tests of the changes to Beam: what they fix is still so in Beam, and fixed with them."""

import inspect
import threading
from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.runners.worker.data_plane import TimeBasedBufferingClosableOutputStream as Stream
from apache_beam.transforms import core, userstate
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from tracktokens.pipelines.beam_patches import keep_specs, lock_streams

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


class Borrowing(beam.DoFn):
    """A step with a method of another step among its attributes."""

    def __init__(self, method: Callable[..., None]) -> None:
        self.method = method

    def process(self, element: object) -> None:
        """Take an element."""


@pytest.fixture
def beams_own_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userstate, "get_dofn_specs", inspect.unwrap(userstate.get_dofn_specs))


def count_inspections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    inspected: list[object] = []
    own = core.get_function_arguments
    monkeypatch.setattr(core, "get_function_arguments", lambda *names: inspected.append(names) or own(*names))
    return inspected


@pytest.mark.usefixtures("beams_own_inspection")
def test_beam_still_inspects_a_step_again_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    userstate.get_dofn_specs(Stateful())
    inspected = count_inspections(monkeypatch)
    userstate.get_dofn_specs(Stateful())
    assert inspected, "Beam has mended this: remove keep_specs from pipelines/beam_patches.py"


@pytest.mark.usefixtures("beams_own_inspection")
def test_a_class_of_steps_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_specs()
    userstate.get_dofn_specs(Stateful())
    inspected = count_inspections(monkeypatch)
    assert userstate.get_dofn_specs(Stateful()) == ({Stateful.STATE}, set())
    assert not inspected


@pytest.mark.usefixtures("beams_own_inspection")
def test_what_is_found_is_what_beam_finds() -> None:
    steps = [
        Stateful(),
        Stateless(),
        Borrowing(len),
        Borrowing(Stateful().process),
        Borrowing(Stateless().process),
        beam.Map(lambda element: element).fn,
        beam.Map(Stateful().process).fn,
    ]
    expected = [userstate.get_dofn_specs(step) for step in steps]
    assert ({Stateful.STATE}, set()) in expected[2:]
    keep_specs()
    for _ in range(2):
        assert [userstate.get_dofn_specs(step) for step in steps] == expected


@pytest.mark.usefixtures("beams_own_inspection")
def test_callers_may_change_the_sets() -> None:
    keep_specs()
    userstate.get_dofn_specs(Stateful())[0].clear()
    assert userstate.get_dofn_specs(Stateful())[0] == {Stateful.STATE}


@pytest.mark.usefixtures("beams_own_inspection")
def test_a_second_call_changes_nothing() -> None:
    keep_specs()
    kept = userstate.get_dofn_specs
    keep_specs()
    assert userstate.get_dofn_specs is kept
