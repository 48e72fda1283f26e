"""A Google Cloud Storage for the tests of this folder, and a bucket per module."""

import re
from collections.abc import Iterator

import pytest

from tests.support.gcs_server import GcsServer
from tests.support.s3_server import S3Server


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """A server on this machine, to which the environment of this process and of its children points."""
    with GcsServer(tmp_path_factory.mktemp("gcs")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def bucket(gcs: GcsServer, request: pytest.FixtureRequest) -> str:
    """The address of an empty bucket of this module."""
    return gcs.make_bucket(re.sub(r"[^a-z0-9-]", "-", request.module.__name__.rpartition(".")[2].lower()))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 on this machine, to which the environment of this process and of its children points."""
    with S3Server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def s3_bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """The address of an empty bucket of this module."""
    return s3.make_bucket(re.sub(r"[^a-z0-9-]", "-", request.module.__name__.rpartition(".")[2].lower()))
