"""Errors of remote filesystems as one line with the path and the remedy: no credentials, no rights, no bucket.

Each client library has its own classes of errors, and Beam wraps some of them, or prints them in the traceback of a
worker. They are found by their lines in the text of the error.
"""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from tracktokens.schemas.errors import TracktokensError, UsageError

_LINE = re.compile(
    r"^(?P<name>(?:google|botocore|azure|hdfs|requests|urllib3|apache_beam\.io)\.[\w.]+): (?P<message>.*?)"
    r"(?: \[while running '.*)?$",
    re.MULTILINE,
)
"""A line of a traceback with the error of a client library."""

_CREDENTIALS = re.compile(
    r"DefaultCredentialsError|RefreshError|NoCredentials|PartialCredentials|Unable to locate credentials|"
    r"ExpiredToken|TokenRefreshError|UnauthorizedSSOToken|SSOTokenLoad|InvalidAccessKeyId|SignatureDoesNotMatch|"
    r"InvalidToken|RequestExpired|ClientAuthenticationError|Unauthorized|\b401\b"
)
_FORBIDDEN = re.compile(r"\b403\b|Forbidden|AccessDenied|AllAccessDisabled|AuthorizationFailure|PermissionDenied")
_NO_BUCKET = re.compile(
    r"NoSuchBucket|bucket does not exist|ContainerNotFound|404 (?:GET|POST) \S+/b/[^/\s]+/o\?|"
    r"NotFound\('(?:GET|POST) \S+/b/[^/\s]+/o\?|InvalidBucketName"
)

_REMEDIES = (
    (
        _CREDENTIALS,
        "the credentials are missing, expired or not accepted",
        "sign in, for example with `gcloud auth application-default login` or `aws configure`",
    ),
    (_NO_BUCKET, "its bucket does not exist", "create the bucket, or correct the path"),
    (_FORBIDDEN, "these credentials may not access it", "give them the right to list, read and write there"),
)

_SHOWN_CHARACTERS = 240
"""Characters of another error in a message."""

_PATH = re.compile(r"\b(?:gs|s3|azfs|hdfs)://[^\s'\",)]+")
_OBJECT_URL = re.compile(r"/b/(?P<bucket>[^/\s?]+)/o(?:/(?P<name>[^?\s:']+))?")


def filesystem_error(error: BaseException, path: str = "") -> TracktokensError | None:
    """Return the one-line error of a remote filesystem's error, or of one that caused it; None for other errors.

    Args:
        error: the error.
        path: the file or folder; by default, the one that the error names.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TracktokensError):
            return None
        found = _explain("".join(traceback.format_exception_only(cause)), path)
        if found is not None:
            return found
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


@contextmanager
def converted_errors(path: str) -> Iterator[None]:
    """Convert a remote filesystem's errors on a path.

    Raises:
        UsageError: the credentials, the right or the bucket are missing.
        TracktokensError: a request failed for another reason.
    """
    try:
        yield
    except Exception as error:
        converted = filesystem_error(error, path)
        if converted is None:
            raise
        raise converted from error


def _explain(text: str, path: str) -> TracktokensError | None:
    """Explain the last line of a text that is an error of a client library."""
    lines = list(_LINE.finditer(text))
    if not lines:
        return None
    line, message = lines[-1][0], lines[-1]["message"][:_SHOWN_CHARACTERS]
    where = path or _path_in(line) or _path_in(text)
    if not where and "BeamIOError" in line:
        return None  # Beam raises it for local files too
    where = where or "the object store"
    for pattern, problem, remedy in _REMEDIES:
        if pattern.search(line):
            return UsageError(f"{where}: {problem}; {remedy}")
    return TracktokensError(f"{where}: {message}; check the filesystem and the network, and run the same command again")


def _path_in(text: str) -> str:
    """Return the path that a message names, as such or in the address of a request; empty if there is none."""
    if found := _PATH.search(text):
        return found[0]
    if found := _OBJECT_URL.search(text):
        return f"gs://{found['bucket']}/{unquote(found['name'] or '')}".rstrip("/")
    return ""
