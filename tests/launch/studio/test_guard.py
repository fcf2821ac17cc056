"""What stands before the page: foreign pages and large bodies are refused, whatever they claim."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Scope

from launch.studio.guard import SLACK, Guard

LIMIT = 1000
HERE = "127.0.0.1:8000"


async def _length_of(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def answer(
    headers: dict[str, str], parts: list[bytes] | None = None, *, host: str = "127.0.0.1",
    kind: str = "http",
) -> list[Message]:  # fmt: skip
    """What the guarded application sends for one request."""
    app = Starlette(routes=[Route("/", _length_of, methods=["POST"])])
    scope: Scope = {
        "type": kind, "method": "POST", "path": "/", "query_string": b"", "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    bodies: Iterator[bytes] = iter(parts or [b""])
    left = len(parts or [b""])
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(bodies), "more_body": left > 0}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, host=host, max_bytes=LIMIT)(scope, receive, send))
    return sent


def status(headers: dict[str, str], parts: list[bytes] | None = None, **more: str) -> int:
    return int(answer(headers, parts, **more)[0]["status"])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": HERE}, 200),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "evil.example:8000"}, 403),
        ({"host": ""}, 403),
        ({}, 403),
        ({"host": HERE, "origin": "http://evil.example"}, 403),
        ({"host": HERE, "origin": "http://127.0.0.1:9000"}, 403),
        ({"host": HERE, "origin": "null"}, 403),
    ],
)
def test_only_the_pages_own_address_and_its_own_pages_may_ask(
    headers: dict[str, str], expected: int
) -> None:
    assert status(headers) == expected


def test_foreign_pages_open_no_socket() -> None:
    headers = {"host": HERE, "origin": "http://evil.example"}
    assert answer(headers, kind="websocket") == [{"type": "websocket.close", "code": 1008}]


def test_an_address_in_the_network_has_any_name() -> None:
    assert status({"host": "studio.example:8000"}, host="0.0.0.0") == 200  # noqa: S104


def test_bodies_are_bounded_whether_or_not_they_say_how_long_they_are() -> None:
    most = LIMIT + SLACK
    assert status({"host": HERE}, [bytes(most)]) == 200
    assert status({"host": HERE, "content-length": str(most + 1)}) == 413
    assert status({"host": HERE}, [bytes(most // 2)] * 3) == 413
    assert status({"host": HERE, "content-length": "5"}, [bytes(most + 1)]) == 413


def test_every_answer_forbids_what_comes_from_elsewhere() -> None:
    for headers in ({"host": HERE}, {"host": "evil.example"}):
        sent = dict(answer(headers)[0]["headers"])
        policy = sent[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert sent[b"x-content-type-options"] == b"nosniff"
