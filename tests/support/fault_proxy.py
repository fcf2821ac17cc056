"""An HTTP proxy on loopback that adds the faults of real networks to an S3 server.

It forwards requests to one server. At random or by command it delays a request, answers 503
SlowDown, resets the connection, truncates the body, falls silent, or refuses every connection. The
fault of request number n is a function of (seed, n). The proxy keeps the Host header, because the
request's signature covers it.

    python -m tests.support.fault_proxy http://127.0.0.1:8333 delay_s=0.05 slow_down=0.02
"""

import http.client
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
KEPT = ("content-length", "content-type", "content-range", "etag", "last-modified")
SERVER_TIMEOUT_S = 30
HELD_S = 60  # the longest time that a request is held
Fate = Literal["pass", "slow_down", "reset", "truncate", "stall"]
# When a request is cut: before it is forwarded, after this share of its body, after the answer.
Moment = Literal["before", "after"] | float


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The probability of each fault per request, and durations."""

    seed: int = 0
    delay_s: float = 0.0  # before every answer
    slow_down: float = 0.0  # 503 instead of an answer
    reset: float = 0.0  # the connection is reset instead of an answer
    truncate: float = 0.0  # half of the body, then the connection is closed
    stall: float = 0.0  # silence of `stall_s` in the middle of the body
    stall_s: float = 3.0

    def fate(self, number: int) -> Fate:
        chance = random.Random(f"{self.seed}/{number}").random()
        kinds: tuple[Fate, ...] = ("slow_down", "reset", "truncate", "stall")
        for kind in kinds:
            chance -= getattr(self, kind)
            if chance < 0:
                return kind
        return "pass"


class Cut:
    """Holds one request until `release` is set, then resets its connection.

    `number` counts requests from 0, from the creation of this object on, and only those whose path
    contains `among`. When `reached` is set, the server has received what it will receive of the
    request. If there are fewer requests, nothing happens.
    """

    def __init__(self, number: int, moment: Moment, among: str = "") -> None:
        self.number = number
        self.moment = moment
        self.among = among
        self.seen: list[tuple[str, int]] = []  # method and size of the body of each request
        self.reached = threading.Event()
        self.release = threading.Event()
        self._lock = threading.Lock()

    def takes(self, method: str, path: str, size_bytes: int) -> bool:
        """Whether this is the request to cut. Records every request."""
        if self.among not in path:
            return False
        with self._lock:
            self.seen.append((method, size_bytes))
            return len(self.seen) - 1 == self.number

    def hold(self) -> None:
        self.reached.set()
        self.release.wait(HELD_S)


class FaultProxy:
    """A running proxy. `faults`, `away`, `cut` and `flip` may change at any time."""

    def __init__(self, server_url: str, faults: Faults) -> None:
        self.faults = faults
        self.away = threading.Event()  # while set, every connection is reset
        self.cut: Cut | None = None
        self.flip = 0  # number of following uploads in which one bit is flipped
        self.fates: Counter[str] = Counter()
        self.body_bytes = 0  # of answers to GET, sent to clients
        self.host, self.port = urlsplit(server_url).hostname, urlsplit(server_url).port
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def draw(self) -> Fate:
        """The fault of the next request, or `pass`."""
        with self._lock:
            fate = self.faults.fate(self._number)
            self._number += 1
            self.fates[fate] += 1
        return fate

    def flips(self) -> bool:
        """Whether to flip a bit of this upload."""
        with self._lock:
            flips = self.flip > 0
            self.flip -= flips
        return flips

    def sent(self, size_bytes: int) -> None:
        with self._lock:
            self.body_bytes += size_bytes

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are written separately

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.owner.away.is_set():
            return self._reset()
        cut = self.owner.cut
        if cut is not None and cut.takes(self.command, self.path, len(body)):
            if cut.moment != "before":
                self._forward(body, 1.0 if cut.moment == "after" else cut.moment)
            cut.hold()
            return self._reset()
        if self.command == "PUT" and body and self.owner.flips():
            body = body[:-1] + bytes([body[-1] ^ 1])
        fate = self.owner.draw()
        time.sleep(self.owner.faults.delay_s)
        if fate == "reset":
            return self._reset()
        if fate == "slow_down":
            return self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN, "pass")
        status, headers, data = self._forward(body)
        return self._answer(status, headers, data, fate)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any

    def _forward(self, body: bytes, share: float = 1.0) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the server's answer; empty if `share` is below 1."""
        connection = http.client.HTTPConnection(
            self.owner.host or "", self.owner.port, timeout=SERVER_TIMEOUT_S
        )
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for key, value in self.headers.items():
                if key.lower() != "connection":
                    connection.putheader(key, value)
            connection.endheaders(body[: int(len(body) * share)])
            if share < 1:
                return 0, {}, b""
            answer = connection.getresponse()
            headers = {k: v for k, v in answer.getheaders() if _passes(k)}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes, fate: Fate) -> None:
        self.send_response(status)
        if self.command != "HEAD":  # its Content-Length is that of the object
            headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
            headers["Content-Length"] = str(len(data))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.owner.sent(len(data) if fate != "truncate" else len(data) // 2)
        half = len(data) // 2
        self.wfile.write(data[:half])
        if fate == "truncate":
            self.close_connection = True
            return
        if fate == "stall":
            self.wfile.flush()
            self.owner.stopping.wait(self.owner.faults.stall_s)
        self.wfile.write(data[half:])

    def _reset(self) -> None:
        self.close_connection = True
        # With a linger time of 0 the kernel sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # ValueError: a file on a socket that was reset
            self.close_connection = True  # the client has closed it, or it was reset

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""


def _passes(header: str) -> bool:
    return header.lower() in KEPT or header.lower().startswith("x-amz-")


@contextmanager
def fault_proxy(server_url: str, **faults: Any) -> Iterator[FaultProxy]:
    """Run a proxy in front of `server_url` (http://HOST:PORT); the context's end stops it."""
    proxy = FaultProxy(server_url, Faults(**faults))
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)


def main(words: list[str]) -> None:
    """`SERVER_URL [NAME=NUMBER …]`; the names are those of `Faults`."""
    known = {field.name: field.type for field in fields(Faults)}
    given = dict(word.split("=", 1) for word in words[1:])
    proxy = FaultProxy(words[0], Faults(**{k: known[k](v) for k, v in given.items()}))  # type: ignore[operator]  # int or float
    print(proxy.url, flush=True)
    proxy.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
