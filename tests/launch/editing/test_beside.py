"""Boundaries lie in the folder of their model."""

import pytest

from launch.editing.beside import beside


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("runs/faces", "runs/faces/boundaries.safetensors"),
        ("s3://bucket/faces/", "s3://bucket/faces/boundaries.safetensors"),
        ("exports/faces.safetensors", "exports/boundaries.safetensors"),
        ("faces.safetensors", "boundaries.safetensors"),
        ("/faces.safetensors", "/boundaries.safetensors"),
    ],
)
def test_the_place_of_a_models_boundaries(model: str, expected: str) -> None:
    assert beside(model) == expected
