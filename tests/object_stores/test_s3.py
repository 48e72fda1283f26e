"""Commands on S3 end with one line for each fault."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.s3_server import S3Server

pytestmark = pytest.mark.disturbed


def show(store: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user does."""
    command = [str(Path(sys.executable).with_name("tracktokens")), "show", "--store", store]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_missing_bucket_is_one_line_that_names_it(s3: S3Server) -> None:
    done = show("s3://nobodys-bucket/store")
    assert done.returncode == 2
    assert done.stderr == (
        "error: s3://nobodys-bucket/store: its bucket does not exist; create the bucket, or correct the path\n"
    )


def test_missing_credentials_are_one_line(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    done = show(f"{s3_bucket}/store")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {s3_bucket}/store: the credentials are missing, expired or not accepted;")
    assert done.stderr.count("\n") == 1
