"""The option ``--weights``."""

import click
import pytest

from tracktokens.pipelines.cli.options.common import Weights


def test_modalities_that_are_not_written_keep_their_default() -> None:
    assert Weights().convert("lyrics=6, audio=0", None, None) == (25, 5, 5, 6, 0)


@pytest.mark.parametrize(
    "text",
    [
        "audio",
        "mood=1",
        "audio=-1",
        "audio=nan",
        "audio=inf",
        "audio=1e400",
        f"audio={'9' * 5000}",
        "audio=1e308,tags=1e308",
        "audio=1,audio=2",
        "playlist=0,tags=0,metadata=0,lyrics=0,audio=0",
    ],
)
def test_other_values_fail_with_a_short_message(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not MODALITY=WEIGHT") as error:
        Weights().convert(text, None, None)
    assert len(error.value.message) < 250
