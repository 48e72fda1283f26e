"""A real browser, driven over the Chrome DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")
PATIENCE = 60.0


class Page:
    """One page of the browser.

    Attributes:
        requests: addresses of everything that the page has requested.
        complaints: exceptions, and messages of the browser such as violations of the page's policy.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._connection = connection
        self._numbers = itertools.count(1)
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def open(self, address: str) -> None:
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"!!({condition})"):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.05)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", text=text)

    def _note(self, event: str | None, parameters: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])


@contextmanager
def open_browser(profile: Path, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """Start a browser; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    command = [program, *SWITCHES, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_page_address(profile / "DevToolsActivePort"), max_size=None) as connection:
                yield Page(connection)
        finally:
            process.terminate()


def _page_address(port_file: Path) -> str:
    """Wait for the file in which the browser writes its port, and return the address of its first page."""
    end = time.monotonic() + PATIENCE
    while not (port_file.exists() and port_file.read_text().count("\n")):
        assert time.monotonic() < end, "the browser does not start"
        time.sleep(0.05)
    port = port_file.read_text().splitlines()[0]
    with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        targets = json.load(answer)
    return next(str(target["webSocketDebuggerUrl"]) for target in targets if target["type"] == "page")
