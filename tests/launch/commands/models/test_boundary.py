"""The command fits boundaries of a run and writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import ganinv
from ganinv.boundaries.files import read_boundaries
from ganinv.errors import ConfigError, DataError
from ganinv.saved.identity import identity
from launch.commands.models import boundary
from tests.support.made_runs import MadeRun, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    made = make_run(tmp_path_factory.mktemp("made"), 256)
    made.save()
    return made


def run(made: MadeRun, to: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    place = [f"storage.run={made.config.storage.run}", f"boundary.to={to}"]
    assert boundary.main([*place, *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_labels_of_the_shards(
    made: MadeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "found.safetensors"
    words = ("boundary.labels=[specs: glasses!=none, beard!=none]", "boundary.elements=2")
    found = run(made, to, capsys, *words, "boundary.conditional=true", "boundary.principal=1")
    names = [one["name"] for one in found["boundaries"]]
    assert names[:2] == ["specs", "beard!=none"]
    assert len(names) == 5
    assert 0 <= found["boundaries"][0]["accuracy_validation"] <= 1
    read = read_boundaries(to)
    assert [one.name for one in read] == names
    assert read[0].conditioned_on == ("beard!=none",)
    assert {one.model for one in read} == {identity(ganinv.load(made.config.storage.run))}


def test_a_file_lies_in_the_run_unless_named(
    made: MadeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{made.config.storage.run}/boundaries.safetensors"
    assert boundary.main([f"storage.run={made.config.storage.run}", "boundary.elements=1"]) == 0
    assert place in capsys.readouterr().out
    assert [one.space for one in read_boundaries(place)] == ["z"]
    Path(place).unlink()


def test_labels_of_a_table(
    made: MadeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "labels.csv"
    lines = [f"{number:08d}.png,{number % 2}" for number in range(256)]
    table.write_text("\n".join(["key,odd", *lines]))
    words = ("boundary.labels=[odd]", f"boundary.csv={table}")
    found = run(made, tmp_path / "odd.safetensors", capsys, *words)
    assert found["boundaries"][0]["share"] == pytest.approx(0.5, abs=0.05)


class Brightness(torch.nn.Module):
    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        return image_BCHW.mean((1, 2, 3))


def test_labels_of_a_classifier(
    made: MadeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "brightness.pt"
    torch.jit.script(Brightness()).save(str(path))
    words = (f"boundary.classifier={path}", "boundary.images=400", "boundary.keep=0.25")
    found = run(made, tmp_path / "b.safetensors", capsys, *words, "boundary.labels=[bright]")
    (bright,) = found["boundaries"]
    assert bright["samples"] == 200
    assert bright["accuracy_validation"] > 0.8  # generated images follow their code
    with pytest.raises(ConfigError, match=r"gives 1 scores an image, but boundary.labels names 2"):
        run(made, tmp_path / "b.safetensors", capsys, *words, "boundary.labels=[a,b]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"labels = \[\]: name labels"),
        (["boundary.labels=[hat]"], "attribute 'hat'; the data have"),
        (["boundary.labels=[glasses!=none]", "boundary.space=w"], "this model has z, u"),
        (["boundary.elements=1", "boundary.model=x.safetensors"], "give one of them"),
        (["boundary.labels=[a]", "boundary.classifier=none.pt"], "no TorchScript file"),
    ],
)
def test_what_cannot_be_fitted_is_refused(made: MadeRun, words: list[str], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        boundary.main([f"storage.run={made.config.storage.run}", *words])
