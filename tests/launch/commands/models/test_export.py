"""The verb `export`, on a run that was made in this process."""

import hashlib
import json
from pathlib import Path

import onnxruntime
import pytest
import torch

import ganinv
from ganinv.errors import ConfigError
from ganinv.saved.identity import identity
from launch.commands.models import export, invert


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_an_export_needs_nothing_of_its_run(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "export"
    options = [f"storage.run={run}", f"export.to={folder}", "export.torchscript=true"]
    assert export.main([*options, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["files"]
    assert {Path(at).name: size for at, size in written.items()} == {
        path.name: path.stat().st_size for path in folder.iterdir()
    }
    assert sorted(path.name for path in folder.iterdir()) == [
        "encoder.pt",
        "generator.pt",
        "model.json",
        "model.safetensors",
    ]
    model = ganinv.load(run, device="cpu")
    code_BL = model.prior(range(3), seed=1)
    generator = torch.jit.load(folder / "generator.pt")
    torch.testing.assert_close(generator(code_BL), model.decode(code_BL), rtol=1e-5, atol=1e-5)
    assert export.main([*options, "export.half=true", "export.overwrite=true"]) == 0
    rounded = ganinv.load(folder, device="cpu")
    assert identity(rounded) != identity(model)
    generator = torch.jit.load(folder / "generator.pt")
    torch.testing.assert_close(generator(code_BL), rounded.decode(code_BL), rtol=1e-5, atol=1e-5)

    file = tmp_path / "one.safetensors"
    assert export.main([f"storage.run={run}", f"export.to={file}"]) == 0
    exported = ganinv.load(file, device="cpu")
    assert torch.equal(exported.sample(2, seed=0), model.sample(2, seed=0))
    assert identity(exported) == identity(model)
    photograph = tmp_path / "photograph.png"
    ganinv.to_pictures(model.sample(1, seed=3))[0].save(photograph)
    for place, name in ((run, "by-run"), (str(file), "by-file")):
        assert invert.main([place, str(photograph), f"invert.to={tmp_path / name}"]) == 0
    by_run, by_file = ((tmp_path / name / "psnr.csv").read_text() for name in ("by-run", "by-file"))
    assert by_run == by_file


@pytest.mark.integration
def test_an_export_with_onnx_graphs_lists_them(run: str, tmp_path: Path) -> None:
    options = [f"storage.run={run}", f"export.to={tmp_path}", "export.onnx=true"]
    assert export.main([*options, "export.half=true"]) == 0
    listed = json.loads((tmp_path / "model.json").read_text())["files"]
    graphs = {"generator.onnx", "encoder.onnx", "autoencoder.onnx"}
    assert listed.keys() == {"model.safetensors", *graphs}
    model, found = ganinv.load(tmp_path, device="cpu"), {}
    for name in graphs:
        payload = (tmp_path / name).read_bytes()
        assert listed[name]["sha256"] == hashlib.sha256(payload).hexdigest()
        found[name] = onnxruntime.InferenceSession(payload)
    image_BCHW = model.sample(2, seed=0)
    (again,) = found["autoencoder.onnx"].run(None, {"images": image_BCHW.numpy()})
    expected = model.reconstruct(image_BCHW)
    torch.testing.assert_close(torch.from_numpy(again), expected, rtol=0, atol=1e-4)


def test_exports_are_not_overwritten_unasked(run: str, tmp_path: Path) -> None:
    options = [f"storage.run={run}", f"export.to={tmp_path}/a.safetensors"]
    (tmp_path / "a.safetensors").write_bytes(b"precious")
    with pytest.raises(ConfigError, match=r"a\.safetensors exists already"):
        export.main(options)
    assert (tmp_path / "a.safetensors").read_bytes() == b"precious"
    assert export.main([*options, "export.overwrite=true"]) == 0
    ganinv.load(tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match="one file cannot also hold TorchScript"):
        export.main([*options, "export.torchscript=true"])
    with pytest.raises(ConfigError, match=r"one file cannot also hold ONNX .* leave onnx out"):
        export.main([*options, "export.onnx=true"])


@pytest.mark.parametrize(
    ("place", "left"),
    [("", {"model.json", "model.safetensors"}), ("/model.safetensors", {"model.safetensors"})],
)
def test_an_export_is_replaced_with_all_of_its_files(
    run: str, tmp_path: Path, place: str, left: set[str]
) -> None:
    """No graph of an old model lies beside a new model; files of other programs stay."""
    graphs = {f"{name}.{end}" for name in ("generator", "encoder") for end in ("pt", "onnx")}
    names = {"model.safetensors", "model.json", "autoencoder.onnx", *graphs}
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    options = [f"storage.run={run}", f"export.to={tmp_path}{place}"]
    with pytest.raises(ConfigError, match=r"autoencoder\.onnx, .*encoder\.pt, .* exist"):
        export.main(options)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"autoencoder\.onnx, .*model\.json exist"):
        export.main(options)
    assert export.main([*options, "export.overwrite=true"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*left, "notes.txt"}
    ganinv.load(tmp_path)


def test_an_export_does_not_hide_the_checkpoints_of_a_run(run: str) -> None:
    for place in (run, f"{run}/model.safetensors"):
        with pytest.raises(ConfigError, match="is the folder of a run, and would hide"):
            export.main([f"storage.run={run}", f"export.to={place}"])
