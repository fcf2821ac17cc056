"""`metrics.jsonl`: numbers read back exactly, and no line appears twice after a resume."""

import json
import math

import pytest

from cluster.run_folder.metrics_log import NAME, MetricsLog, read_rows
from ganinv.errors import StorageContentError
from ganinv.seams.stores import Store


def test_rows_read_back_exactly(store: Store) -> None:
    log = MetricsLog(store, 0)
    rows = [{"images_seen": 16.0, "loss/d": 0.1 + 0.2, "x": 1e-300}, {"images_seen": 32.0}]
    for row in rows:
        log.append(row)
    log.flush()
    assert read_rows(store) == rows


def test_a_resumed_run_drops_the_rows_that_it_will_write_again(store: Store) -> None:
    log = MetricsLog(store, 0)
    for images in (16, 32, 48):
        log.append({"images_seen": images, "loss/d": images / 7})
    log.flush()
    resumed = MetricsLog(store, 32)
    for images in (48, 64):
        resumed.append({"images_seen": images, "loss/d": images / 7})
    resumed.flush()
    assert [row["images_seen"] for row in read_rows(store)] == [16, 32, 48, 64]


def test_non_finite_values_are_valid_json_and_read_back_as_nan(store: Store) -> None:
    log = MetricsLog(store, 0)
    log.append({"images_seen": 16.0, "grad_norm/g": float("inf")})
    log.flush()
    assert json.loads(store.read(NAME))["grad_norm/g"] is None
    assert math.isnan(read_rows(store)[0]["grad_norm/g"])


TORN = (b'{"images_se', b'{"images_seen": 32, "loss/d": "\xc3', b"[32]", b'{"loss/d": 1}')


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_torn_last_line_is_named_and_stops_nothing(
    store: Store, torn: bytes, end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.write(NAME, b'{"images_seen": 16}\n' + torn + end)
    assert read_rows(store) == [{"images_seen": 16}]
    log = MetricsLog(store, 16)
    log.append({"images_seen": 32})
    log.flush()
    assert read_rows(store) == [{"images_seen": 16}, {"images_seen": 32}]
    (said,) = caplog.records
    assert "metrics.jsonl, line 2 cannot be read and is left out (" in said.getMessage()


def test_a_line_in_the_middle_stops_training_but_no_reader(store: Store) -> None:
    """Training writes the whole file anew, and a person may be able to repair the line."""
    text = (
        b'{"images_seen": 16}\n\n{"images_se\n{"images_seen": 48, "x": "y"}\n{"images_seen": 64}\n'
    )
    store.write(NAME, text)
    assert [row["images_seen"] for row in read_rows(store)] == [16, 64]
    with pytest.raises(
        StorageContentError, match=r"metrics\.jsonl, line 3 .* and 1 more lines; re"
    ):
        MetricsLog(store, 64)
    assert store.read(NAME) == text


def test_no_file_means_no_rows(store: Store) -> None:
    assert read_rows(store) == []
