"""What stands before the page: who may ask, how much may be sent, what the browser may load."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SLACK = 64 * 2**10  # bytes around a file in the body of an upload
# The framework compiles templates in the browser, hence 'unsafe-eval', and puts scripts and styles
# into the page itself. Nothing may come from, or go to, any other place.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses requests that other pages send, and bodies that are too large."""

    def __init__(self, app: ASGIApp, *, host: str, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes + SLACK
        self._on_loopback = host in (*LOOPBACK, "::1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._comes_from_here(headers):
            await _refuse(scope, receive, send, 403, "This page answers at its own address only.")
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif _length(headers) > self._max_bytes:
            await _refuse(scope, receive, send, 413, "The file is larger than studio.max_upload_mb")
        else:
            await self._app(scope, self._bounded(receive), _with_headers(send))

    def _comes_from_here(self, headers: Headers) -> bool:
        """Against DNS rebinding, and against pages of other places that reach for this one."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._on_loopback and host.rpartition(":")[0] not in LOOPBACK:
            return False
        return origin is None or urlsplit(origin).netloc == host

    def _bounded(self, receive: Receive) -> Receive:
        """For bodies that do not say how long they are, or lie about it."""
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413)
            return message

        return bounded


def _length(headers: Headers) -> int:
    """The length that a request states; 0 without one. The server refuses what is no number."""
    stated = headers.get("content-length", "")
    return int(stated) if stated.isdecimal() else 0


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await PlainTextResponse(why, status)(scope, receive, _with_headers(send))
