"""Files of an evaluation: its JSON with the rejects, and predictions in the format of the Music-CRS evaluator."""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from tracktokens.codebooks.metrics.turn_ranking import DEPTH
from tracktokens.pipelines.analysis.conversations.evaluate import EvaluatedConversations
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.user_files import check_output, is_stream, open_output

_logger = logging.getLogger(__name__)


def rejects_path(out: str) -> str:
    """Path of the rejects of an evaluation."""
    return f"{out}.rejects"


def check_outputs(outputs: Sequence[str | None], inputs: Sequence[str], store: str) -> None:
    """Check before anything is read that the outputs can be written; None is not written.

    Raises:
        UsageError: an output is a folder, an input, or in the store.
    """
    for path in filter(None, outputs):
        for output in (path,) if is_stream(path) else (path, rejects_path(path)):
            check_output(output, inputs, store)


def write_evaluation(evaluated: EvaluatedConversations, out: str) -> None:
    """Write the evaluation as JSON, and one line per reject beside it, or to the log for a stream.

    Raises:
        UsageError: the file cannot be written.
    """
    with open_output(out) as file:
        file.write(json.dumps(evaluated.evaluation.to_json(), ensure_ascii=False, indent=2).encode() + b"\n")
    lines = [orjson.dumps(reject) for reject in evaluated.queries.rejects]
    if is_stream(out):
        for line in lines:
            _logger.warning("rejected: %s", line.decode())
        return
    with open_output(rejects_path(out)) as file:
        file.writelines(line + b"\n" for line in lines)


def write_submission(evaluated: EvaluatedConversations, system: str, path: str) -> int:
    """Write the predictions of a system, and return their number.

    Raises:
        UsageError: the system was not measured, or the file cannot be written.
    """
    if system not in evaluated.answers:
        reason = evaluated.evaluation.left_out.get(system, "it is not in the table")
        raise UsageError(f"{system!r} has no predictions to submit: {reason}")
    predictions = list(_predictions(evaluated, system))
    with open_output(path) as file:
        file.write(json.dumps(predictions, ensure_ascii=False, indent=1).encode() + b"\n")
    return len(predictions)


def _predictions(evaluated: EvaluatedConversations, system: str) -> Iterator[dict[str, Any]]:
    for query, answer in zip(evaluated.queries.queries, evaluated.answers[system], strict=True):
        yield {
            "session_id": query.session_id,
            "user_id": query.user_id,
            "turn_number": query.turn,
            "predicted_track_ids": evaluated.index.ids(answer.rows[:DEPTH]),
            "predicted_response": answer.text,
        }
