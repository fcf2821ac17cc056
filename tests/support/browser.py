"""A headless Chromium, driven by the DevTools protocol; it needs no driver of its own.

Every request that its page makes is noted, which is what a test of "no asset from elsewhere" needs.
"""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.commands import wait_until

ANSWER_S = 30.0
MISSING = "no chromium on this machine (Debian package: chromium)"


class Tab:
    """One open page."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._sent = 0
        self.requests: list[str] = []  # URLs
        self.errors: list[str] = []  # of scripts, and what the page's policy forbids
        for domain in ("Page", "Network", "Runtime", "DOM", "Log"):
            self.command(f"{domain}.enable")
        self.command("Emulation.setFocusEmulationEnabled", enabled=True)  # keys reach each tab

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Events that come before the answer are noted."""
        self._sent += 1
        self._connection.send(
            json.dumps({"id": self._sent, "method": method, "params": parameters})
        )
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = json.loads(self._connection.recv(timeout=deadline - time.monotonic()))
            if message.get("id") == self._sent:
                assert "error" not in message, f"{method}: {message['error']}"
                found: dict[str, Any] = message["result"]
                return found
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(parameters["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.errors.append(parameters["entry"]["text"])

    def open(self, url: str, *, width: int, height: int = 900, dark: bool = False) -> None:
        self.resize(width, height, dark=dark)
        self.command("Page.navigate", url=url)

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.command(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait_for(self, script: str, what: str, seconds: float = 60) -> Any:
        """Until a JavaScript expression is true."""
        return wait_until(lambda: self.evaluate(script), seconds, what)

    def press(self, text: str) -> None:
        """Click the button with this text."""
        self.wait_for(
            "(() => { const all = [...document.querySelectorAll('button')].filter(b => "
            f"b.innerText.includes({json.dumps(text)}) && !b.disabled);"
            "if (!all.length) return false; all[0].click(); return true; })()",
            f"a button {text!r}",
        )

    def choose(self, number: int, path: Path) -> None:
        """Put a file into one of the page's file fields, by its number."""
        root = self.command("DOM.getDocument", depth=0)["root"]["nodeId"]
        fields = self.command(
            "DOM.querySelectorAll", nodeId=root, selector="input[type=file]"
        )["nodeIds"]  # fmt: skip
        self.command("DOM.setFileInputFiles", files=[str(path)], nodeId=fields[number])

    def drop(self, path: Path) -> None:
        """Drop a file on the page, as a person would who drags it there."""
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        self.evaluate(
            f"(() => {{ const bytes = Uint8Array.from(atob('{content}'), c => c.charCodeAt(0));"
            f"const file = new File([bytes], {json.dumps(path.name)});"
            "const data = new DataTransfer(); data.items.add(file); document.body.dispatchEvent("
            "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); })()"
        )

    def mouse(self, kind: str, x: float, y: float) -> None:
        """`kind`: mousePressed, mouseMoved or mouseReleased, with the left button."""
        self.command(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )

    def downloads_to(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the page, PNG."""
        answer = self.command("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def chromium(folder: Path, switches: Sequence[str] = ()) -> Iterator["Browser"]:
    """A browser whose files lie in `folder`. Skips the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip(MISSING)
    profile = folder / "profile"
    words = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += ["--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-port=0", *switches]
    with (folder / "browser.log").open("w") as log:
        process = subprocess.Popen(
            [*words, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log
        )
        try:
            place = profile / "DevToolsActivePort"
            wait_until(lambda: place.exists() and place.read_text().strip(), 60, "the browser")
            yield Browser(int(place.read_text().split()[0]))
        finally:
            process.terminate()
            process.wait(30)


class Browser:
    """Opens tabs."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT"
        )
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 (this machine)
            target = json.load(answer)
        with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
            tab = Tab(connection)
            yield tab
            tab.command("Page.close")
