"""`ganinv watch`: serves a page on this machine that follows a run from its storage."""

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from ganinv.errors import ConfigError
from launch.options.arguments import parse
from launch.options.places import DataPlace, StorageConfig
from launch.options.sections import read_sections
from launch.pages.live import LivePage

REFRESH_S = 10
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Refresh": str(REFRESH_S),
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
EXAMPLES = """\
keys:
  watch.port=N         port of the page (9465; 0: any free port)
  watch.host=ADDRESS   address of the page (127.0.0.1)
  data.url=URL         where the run's data set lies now, if it has moved

examples:
  ganinv watch storage.run=runs/tiny
  ganinv watch storage.run=s3://ganinv/runs/a watch.port=8000

The page reads storage alone, so the run may be on any machine. A closed page reads nothing.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchConfig:
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = 9465

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port = {self.port}: choose 0 to 65535")


SECTIONS: dict[str, type] = {"storage": StorageConfig, "data": DataPlace, "watch": WatchConfig}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "watch", "Follow a run on a page that reloads itself.", EXAMPLES)
    sections = read_sections(arguments.options, SECTIONS)
    torch.set_num_threads(1)  # leaves the processors to a training on this machine
    with serve(LivePage(sections["storage"], sections["data"]), sections["watch"]) as server:
        url = f"http://{sections['watch'].host}:{server.server_port}/"
        print(json.dumps({"url": url}) if arguments.as_json else f"{url} (Ctrl-C ends)", flush=True)
        server.serve_forever()
    return 0


def serve(page: LivePage, config: WatchConfig) -> ThreadingHTTPServer:
    """A server of the page, which the caller runs and closes.

    Raises `ConfigError` if the server cannot listen at the address.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # name given by http.server
            if not self._comes_from_here():
                self.send_error(403, "This page answers at its own address only")
            elif self.path != "/":
                self.send_error(404)
            else:
                body = page.html().encode()
                self.send_response(200)
                for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def _comes_from_here(self) -> bool:
            """Against DNS rebinding: a foreign page may resolve its own name to this address."""
            host = self.headers.get("Host", "").rpartition(":")[0]
            return config.host not in LOOPBACK or host in LOOPBACK

        def log_message(self, format: str, *args: object) -> None:  # name given by http.server
            """Logs nothing: the page requests itself every few seconds."""

    try:
        server = ThreadingHTTPServer((config.host, config.port), Handler)
    except OSError as error:
        raise ConfigError(
            f"watch.port = {config.port}: cannot listen at {config.host}:{config.port} "
            f"({error.strerror}); choose another watch.port, or 0 for any free one"
        ) from error
    server.daemon_threads = True
    return server
