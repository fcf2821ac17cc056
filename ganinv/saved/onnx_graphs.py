"""Writes a codec as ONNX graphs, for onnxruntime in browsers, on phones and everywhere else.

    generator.onnx     `codes` B × L → `images` B × C × H × W in [−1, 1]
    encoder.onnx       `images` → `codes`; of methods that encode
    autoencoder.onnx   `images` → `reconstructions`: both in one; of methods that encode

They take and give what `InvertibleGan.decode`, `encode` and `reconstruct` do, in float32, for any
batch size. With `half` the weights lie in the file as float16, and programs compute with them in
float32: the same functions as those of the model that `ganinv.load` reads from an export of half
weights. Computing in float16 was tried: a family with instance norms gave other images.

PyTorch's exporter writes the graphs; ONNX's operators of version `OPSET` are all they use. Their
metadata holds the model's description (`ganinv`), the opset, the range of image values (`images`)
and the latent's tensors, such as `scale`, which the graphs apply themselves.
"""

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch

from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.saved.exports import Description, rounded, without_shape
from ganinv.saved.graphs import ENCODER, GENERATOR, Traceable, graphs_of

AUTOENCODER = "autoencoder"
GRAPH_NAMES = tuple(f"{name}.onnx" for name in (GENERATOR, ENCODER, AUTOENCODER))
OPSET = 18  # onnxruntime 1.14 of 2023 and later read it
EXTRA = "onnx"  # of pyproject.toml
PACKAGES = ("onnx", "onnxscript")
IMAGES, CODES, RECONSTRUCTIONS = "images", "codes", "reconstructions"
_ENDS = {GENERATOR: (CODES, IMAGES), ENCODER: (IMAGES, CODES)}  # names of input and output
# Elements of constants that are worth a cast. The exporter multiplies weights below some thousand
# elements by their rates, and stores the products, which float16 does not hold.
_LARGE = 1024


def onnx_files(
    model: InvertibleGan, description: Description, *, half: bool = False
) -> dict[str, bytes]:
    """The graphs as files by name; the model must be on the CPU.

    Raises `ConfigError` where packages of the extra `onnx` are missing.
    """
    check_packages()
    told = {
        "ganinv": json.dumps(description.plain()),
        "opset": str(OPSET),
        "images": "float32, batch x channels x height x width, from -1 (black) to 1 (white)",
        **{without_shape(name): json.dumps(t.tolist()) for name, t in model.codec.tensors.items()},
    }
    source = rounded(model) if half else model
    graphs = {name: _exported(name, each) for name, each in graphs_of(source).items()}
    if half:
        graphs = {name: _stored_half(graph) for name, graph in graphs.items()}
    if ENCODER in graphs:
        graphs[AUTOENCODER] = _joined(graphs[ENCODER], graphs[GENERATOR])
    return {f"{name}.onnx": _payload(graph, told) for name, graph in graphs.items()}


def check_packages() -> None:
    """Raises `ConfigError` where packages of the extra `onnx` are missing."""
    for package in PACKAGES:
        try:
            import_module(package)
        except ImportError as error:
            raise ConfigError(
                f"export.onnx = true: the package {error.name!r} is not installed; type "
                f"pip install {' '.join(PACKAGES)} (the extra {EXTRA!r} of ganinv)"
            ) from error


def _exported(name: str, traceable: Traceable) -> Any:
    """An `onnx.ModelProto` in float32."""
    source, target = _ENDS[name]
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            traceable.graph,
            (traceable.example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            input_names=[source],
            output_names=[target],
            opset_version=OPSET,
            custom_translation_table={
                torch.ops.aten.hypot.default: _hypot,
                torch.ops.aten.special_ndtri.default: _ndtri,
            },
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's words on its own packages and deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _stored_half(graph: Any) -> Any:
    """The graph with all large constants that float16 holds exactly as float16, and casts back."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for constant in graph.graph.initializer:
        if constant.data_type != TensorProto.FLOAT or math.prod(constant.dims) < _LARGE:
            continue
        whole = numpy_helper.to_array(constant)
        half = whole.astype(np.float16)
        if np.array_equal(half.astype(np.float32), whole):
            name = f"{constant.name}.half"
            casts.append(helper.make_node("Cast", [name], [constant.name], to=TensorProto.FLOAT))
            constant.CopyFrom(numpy_helper.from_array(half, name))
    nodes = [*casts, *graph.graph.node]
    graph.graph.ClearField("node")
    graph.graph.node.extend(nodes)
    return graph


def _joined(encoder: Any, generator: Any) -> Any:
    """What the encoder gives goes into the generator."""
    from onnx import compose

    prefixes = f"{ENCODER}.", f"{GENERATOR}."
    joined = compose.merge_models(
        compose.add_prefix(encoder, prefixes[0]),
        compose.add_prefix(generator, prefixes[1]),
        io_map=[(f"{prefixes[0]}{CODES}", f"{prefixes[1]}{CODES}")],
    )
    joined.ClearField("opset_import")  # it has the operators of both, twice
    joined.opset_import.extend(encoder.opset_import)
    names = {f"{prefixes[0]}{IMAGES}": IMAGES, f"{prefixes[1]}{IMAGES}": RECONSTRUCTIONS}
    for value in (*joined.graph.input, *joined.graph.output):
        value.name = names[value.name]
    for node in joined.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(end, end) for end in ends]
    return joined


def _payload(graph: Any, told: Mapping[str, str]) -> bytes:
    """The checked graph as a file, without the exporter's notes, which name files of this host."""
    from onnx import checker, helper

    for part in (graph.graph, *graph.graph.node, *graph.graph.value_info):
        part.ClearField("metadata_props")
    for part in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        part.ClearField("metadata_props")
    helper.set_model_props(graph, dict(told))
    checker.check_model(graph)
    payload: bytes = graph.SerializeToString(deterministic=True)
    return payload


# erf⁻¹(x) / x for single precision as polynomials, highest power first: in w − 2.5 where w < 5,
# else in √w − 3, with w = −ln(1 − x²). M. Giles, "Approximating the erfinv function" (GPU Computing
# Gems, Jade Edition, 2011).
_CENTRE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_TAILS = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


def _hypot(a: Any, b: Any) -> Any:
    from onnxscript import opset18 as op

    return op.Sqrt(op.Add(op.Mul(a, a), op.Mul(b, b)))


def _ndtri(share: Any) -> Any:
    """Φ⁻¹ = √2 erf⁻¹(2p − 1), which ONNX does not have, of shares in float32."""
    from onnxscript import opset18 as op

    def polynomial(at: Any, coefficients: tuple[float, ...]) -> Any:
        sum_ = coefficients[0]
        for coefficient in coefficients[1:]:
            sum_ = op.Add(op.Mul(at, sum_), coefficient)
        return sum_

    other = op.Sub(1.0, share)
    depth = op.Neg(op.Log(op.Mul(op.Mul(share, other), 4.0)))  # 1 − x² = 4p (1 − p)
    centre = polynomial(op.Sub(depth, 2.5), _CENTRE)
    tails = polynomial(op.Sub(op.Sqrt(depth), 3.0), _TAILS)
    slope = op.Where(op.Less(depth, 5.0), centre, tails)
    return op.Mul(slope, op.Mul(op.Sub(share, other), math.sqrt(2)))
