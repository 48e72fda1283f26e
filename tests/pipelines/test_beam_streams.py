import threading
from collections.abc import Callable

import pytest
from apache_beam.runners.worker.data_plane import TimeBasedBufferingClosableOutputStream as Stream

from tracktokens.pipelines.beam_streams import lock_streams

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
    own = Stream.write
    while hasattr(own, "__wrapped__"):
        own = own.__wrapped__
    monkeypatch.setattr(Stream, "write", own)
    return own


def test_beam_still_loses_what_is_written_during_a_flush(beams_own: Callable[..., None]) -> None:
    assert write_during_a_flush() == b"", "Beam has mended this: remove pipelines/beam_streams.py"


def test_what_is_written_during_a_flush_is_sent_by_the_next(beams_own: Callable[..., None]) -> None:
    lock_streams()
    assert write_during_a_flush() == b"second"


def test_a_second_lock_changes_nothing(beams_own: Callable[..., None]) -> None:
    lock_streams()
    locked = Stream.write
    lock_streams()
    assert Stream.write is locked
