"""Serves the studio's page until a signal ends it.

This module imports no NiceGUI by itself: where NiceGUI may write is decided before it is imported.
"""

import os
import signal
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganinv.errors import ConfigError
from launch.studio.options import StudioConfig
from launch.studio.shared import Studio

GIVE_UP_S = 2  # how long open pages may hold up the end
RECONNECT_S = 30.0  # a tab that is silent for this long is closed


def listen(config: StudioConfig) -> socket.socket:
    """A socket at the page's address. Raises `ConfigError` if that cannot be had."""
    host = config.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, config.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"studio.port = {config.port}: cannot listen at {config.host}:{config.port} "
            f"({error.strerror}); choose another studio.port, or 0 for any free one"
        ) from error


def address(config: StudioConfig, listening: socket.socket) -> str:
    """The page's URL."""
    host = config.host.strip("[]")
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}/"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user may read; uploads above a megabyte pass through it.

    All temporary files of this process lie there until it is removed.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="ganinv-studio-") as name:
        tempfile.tempdir = name
        os.environ["NICEGUI_STORAGE_PATH"] = f"{name}/storage"
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def serve(studio: Studio, listening: socket.socket) -> None:
    """Serve the page until the process is signalled; inside of `private_folder`."""
    import uvicorn
    from fastapi import FastAPI
    from nicegui import ui

    from launch.studio.guard import Guard
    from launch.studio.page import show

    # NiceGUI looks for its server among all objects, and torch warns of one that it looks at.
    warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")

    @ui.page("/")
    async def index() -> None:
        await show(studio)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, host=studio.config.host, max_bytes=studio.config.max_upload_bytes)
    ui.run_with(
        app,
        title=f"{studio.title} · ganinv studio",
        favicon="🎨",
        dark=None,
        tailwind=False,
        reconnect_timeout=RECONNECT_S,
        message_history_length=50,
        show_welcome_message=False,
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GIVE_UP_S,
    )
    try:
        with _ended_by_hangup():
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        studio.close()


@contextmanager
def _ended_by_hangup() -> Iterator[None]:
    """The server takes Ctrl-C and SIGTERM itself, and raises them again at its end; SIGHUP, too."""
    before = signal.getsignal(signal.SIGHUP)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
