"""The live page tells how a run stands, shows its newest pictures, and survives an outage."""

import http.client
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.run_folder.metrics_log import MetricsLog
from ganinv.errors import StorageUnavailableError
from ganinv.seams.stores import Store
from launch.commands.watch import WatchConfig, serve
from launch.options.places import DataPlace, StorageConfig
from launch.pages import live as live_page
from launch.pages.curves import Rows
from launch.pages.live import LivePage
from launch.pages.standing import duration, standing
from tests.support.commands import start, wait_until
from tests.support.made_runs import MadeRun, make_run
from tests.support.pages import Document

NOW = 1_700_000_000.0


def rows(count: int, *, every_s: float = 20, speed: float = 50) -> list[dict[str, float]]:
    """`count` rows, the last of them just now."""
    return [
        {
            "images_seen": 1000.0 * (i + 1),
            "wall_time": NOW - every_s * (count - 1 - i),
            "throughput/images_per_second": speed,
            "loss/d": 1.0 / (i + 1),
        }
        for i in range(count)
    ]


def test_states_of_a_run() -> None:
    def state(found: list[dict[str, float]], target: int | None, later_s: float) -> str:
        return standing(found, target, None, NOW + later_s).state

    assert state([], None, 0) == "waiting"
    assert state([], 8000, 0) == "waiting"
    assert state(rows(4), 8000, 60) == "training"
    assert state(rows(4), 8000, 120) == "silent"
    assert state(rows(4, every_s=600), 8000, 1200) == "training"
    assert state(rows(8), 8000, 10_000) == "done"


def test_time_left_is_that_of_the_last_rows() -> None:
    at = standing(rows(4), 8000, None, NOW)
    assert at.images_seen == 4000
    assert at.seconds_left == pytest.approx(4000 / 50)
    assert standing(rows(8), 8000, None, NOW).seconds_left is None
    assert standing(rows(4), None, None, NOW).seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (89, "89 s"), (300, "5 min"), (7260, "2 h 1 min"), (260_000, "3 d 0 h")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    return make_run(tmp_path, 64, "train.images=8000")


@pytest.fixture
def page(made: MadeRun, monkeypatch: pytest.MonkeyPatch) -> LivePage:
    monkeypatch.setattr(live_page, "READ_EVERY_S", 0.0)
    return LivePage(StorageConfig(run=made.config.storage.run))


def log_rows(made: MadeRun, count: int) -> None:
    log = MetricsLog(made.store, 0)
    for row in rows(count):
        log.append(row | {"wall_time": row["wall_time"] - NOW + time.time()})
    log.flush()


def test_the_page_follows_the_run(
    made: MadeRun, page: LivePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = Document(page.html())
    assert "waiting" in document.text
    assert not document.count("img")

    log_rows(made, 4)
    document = Document(page.html())
    assert "training" in document.text
    assert "4,000 of 8,000 images" in document.text
    assert "80 s left at this speed" in document.text
    assert document.count("svg") >= 2

    made.save()
    html = page.html()
    document = Document(html)
    assert len(document.images()) == live_page.SAMPLES + 2 * live_page.PAIRS
    assert page.html() is html  # no news, no work

    def unavailable(_: Store) -> Rows:
        raise StorageUnavailableError("the store does not answer")

    monkeypatch.setattr(live_page, "read_rows", unavailable)
    document = Document(page.html())
    assert "trouble" in document.text
    assert "the store does not answer" in document.text
    assert len(document.images()) == live_page.SAMPLES + 2 * live_page.PAIRS


def test_held_out_images_are_shown_where_the_data_set_lies_now(
    made: MadeRun, tmp_path: Path
) -> None:
    storage = StorageConfig(run=made.save())
    (tmp_path / "data").rename(tmp_path / "moved")
    document = Document(LivePage(storage).html())
    assert "has moved, give its place with data.url=" in document.text
    assert len(document.images()) == live_page.SAMPLES
    document = Document(LivePage(storage, DataPlace(url=str(tmp_path / "moved"))).html())
    assert len(document.images()) == live_page.SAMPLES + 2 * live_page.PAIRS


@pytest.fixture
def address(page: LivePage) -> Iterator[str]:
    with serve(page, WatchConfig(port=0)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_server_answers_its_own_name_alone(address: str) -> None:
    for path, host, status in (
        ("/", "localhost:9465", 200),
        ("/", "evil.example:9465", 403),
        ("/x", "localhost:9465", 404),
    ):
        with closing(http.client.HTTPConnection(address, timeout=20)) as connection:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            assert answer.status == status
            if status == 200:
                assert answer.headers["Refresh"] == "10"
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.integration
def test_a_browser_shows_pictures_and_curves(made: MadeRun, address: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine (Debian package: chromium)")
    log_rows(made, 4)
    made.save()
    words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    words += [f"--user-data-dir={tmp_path / 'browser'}", f"http://{address}/"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    document = Document(done.stdout)
    assert "training" in document.text
    assert len(document.images()) == live_page.SAMPLES + 2 * live_page.PAIRS
    assert document.count("svg") >= 2
    assert "Refused to" not in done.stderr  # nothing that the page needs is forbidden by its policy


@pytest.mark.integration
def test_ctrl_c_ends_it_in_the_background_too(made: MadeRun, tmp_path: Path) -> None:
    said = tmp_path / "watch.log"
    with said.open("w") as output:
        process = start("watch", f"storage.run={made.store.url}", "watch.port=0", output=output)
    try:
        wait_until(lambda: "Ctrl-C ends" in said.read_text(), 60, "the page's address")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait(30)
