"""Models are checked before anything is scanned or written."""

from pathlib import Path

import pytest

from tests.support.tiny_text_model import write_tiny_model
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import TextEncoderConfig
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError


@pytest.mark.job
def test_a_damaged_text_model_is_refused_before_a_store_is_created(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    tracks = tmp_path / "tracks.jsonl"
    tracks.write_text('{"track_id": "t", "title": "a song"}\n')
    source = CatalogSource(tracks=str(tracks), text=TextEncoderConfig(model=str(tmp_path / "model")))
    with pytest.raises(UsageError, match="cannot be loaded"):
        EmbedJob(source=source, store=str(tmp_path / "store")).run(PipelineRunner())
    assert not (tmp_path / "store").exists()
