"""The weight gradient of a gradient penalty without double backward, for piecewise linear networks.

Let a network consist of affine layers, leaky ReLUs, and linear operations without parameters. With
the slopes of the leaky ReLUs held fixed, its adversarial value is a linear function ã of the image
and of a factor on all biases, and ã(x, 1) = a(x). Take a loss L of the adversarial values a_n and a
penalty κ ‖∇ₓa_n‖² on each sample; let u_n = ∇ₓa_n and c_n = ∂L/∂a_n, both as constants. Then

    ∂/∂θ [L + κ Σ_n ‖∇ₓa_n‖²] = ∂/∂θ Σ_n ã(c_n x_n + 2κ u_n, c_n)

because ã(c x, c) = c a(x), and because ã(u, 0) is the derivative of a along u, which changes with
θ half as fast as ‖∇ₓa‖² while u is constant.

`Recording` is a forward pass that keeps the slopes. The pass back to the images then gives u, and
δ = ∂Σa/∂y of each layer's output y. δ is the same for ã, whose slopes are the same; so `replay`
takes each layer's weight gradient, δ and its new input, during its own forward pass. That makes
four passes, where double backward makes six, and no activations are kept for a pass back.

A network may have further inputs beside the image, such as a code, if it is piecewise linear in all
of them together. The penalty is on ∇ₓ alone, so ã takes c times each further input.

A network that consists of `torch`'s convolutions, linear layers and (leaky) ReLUs, and otherwise of
linear operations without parameters, may say so with an attribute `piecewise_linear = True`; the
conformance test of the families compares its gradients with double backward in float64.

Shapes: B samples, O outputs of a layer; a layer's output y is B × O or B × O × H × W.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_AFFINE = {F.conv2d, F.conv_transpose2d, F.linear}
_SLOPES = {F.leaky_relu: 0.01, F.relu: 0.0, torch.relu: 0.0, Tensor.relu: 0.0}  # below 0

_entered = threading.local()  # `depth`: how many passes this thread is in

Layer = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # input, weight, bias → output


def in_pass() -> bool:
    """Whether a network runs to be recorded or replayed."""
    return getattr(_entered, "depth", 0) > 0


class _Pass(TorchFunctionMode):
    """A forward pass in which layers with trained weights, and activations, act differently."""

    def __enter__(self) -> Self:
        _entered.depth = getattr(_entered, "depth", 0) + 1
        super().__enter__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _entered.depth -= 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = dict(kwargs or {})
        if func in _AFFINE and args[1].requires_grad:
            x, weight, *rest = args
            bias = rest.pop(0) if rest else kwargs.pop("bias", None)
            return self.affine(lambda x, w, b: func(x, w, b, *rest, **kwargs), x, weight, bias)
        if func in _SLOPES:
            given = args[1:2] if func is F.leaky_relu else ()
            slope = given[0] if given else kwargs.get("negative_slope", _SLOPES[func])
            return self.activation(lambda: func(*args, **kwargs), args[0], slope)
        return func(*args, **kwargs)

    def affine(self, layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def activation(self, function: Callable[[], Tensor], x: Tensor, slope: float) -> Tensor:
        raise NotImplementedError


class Recording(_Pass):
    """A forward pass, called once with inputs that need a gradient.

    `constant`: its graph leads to no weights. Else other losses can be computed from its outputs.
    """

    def __init__(self, *, constant: bool = True) -> None:
        super().__init__()
        self.constant = constant
        self.edges: list[GradientEdge] = []  # of each layer's output
        self.signed: list[Tensor] = []  # the activations, which have the signs of their inputs

    def affine(self, layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.constant:
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        y = layer(x, weight, bias)
        self.edges.append(get_gradient_edge(y))
        return y

    def activation(self, function: Callable[[], Tensor], x: Tensor, slope: float) -> Tensor:
        del x, slope
        y = function()
        self.signed.append(y.detach())
        return y

    def back(
        self, values_B: Tensor, *inputs: Tensor, retain_graph: bool = False
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """The gradient of the sum of `values_B` at each input, and δ of each layer; None where it
        has no influence.
        """
        places: list[Any] = [*inputs, *self.edges]  # tensors and edges, which the stubs keep apart
        found = torch.autograd.grad(
            values_B.sum(), places, retain_graph=retain_graph, allow_unused=True
        )
        return list(found[: len(inputs)]), list(found[len(inputs) :])


class _Replay(_Pass):
    """The forward pass of ã, which takes the gradient of every weight and bias on its way."""

    def __init__(
        self, signed: Iterable[Tensor], toward: Iterable[Tensor | None], factor_B: Tensor | None
    ) -> None:
        super().__init__()
        self._signed, self._toward, self._factor_B = iter(signed), iter(toward), factor_B
        self.gradients: list[tuple[Tensor, Tensor]] = []  # of weights, which may be scaled ones

    def affine(self, layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        toward = next(self._toward)
        if toward is None:
            return layer(x, weight.detach(), None)
        constant = weight.detach().requires_grad_()
        y = layer(x, constant, None)
        (gradient,) = torch.autograd.grad(y, constant, toward)
        self.gradients.append((weight, gradient))
        if bias is None or self._factor_B is None:
            return y.detach()
        pixels = tuple(range(2, toward.ndim))
        # In the precision of the bias, as the outer products below.
        sums_BO = toward.sum(pixels, dtype=bias.dtype) if pixels else toward.to(bias.dtype)
        factor_B = self._factor_B.to(bias.dtype)
        self.gradients.append((bias, (factor_B[:, None] * sums_BO).sum(0)))
        offset_BO = factor_B[:, None] * bias.detach()
        offset_BO = offset_BO.to(y.dtype).reshape(*offset_BO.shape, *[1] * len(pixels))
        return y.detach().add_(offset_BO)  # whose values nothing else needs

    def activation(self, function: Callable[[], Tensor], x: Tensor, slope: float) -> Tensor:
        del function
        # The backward function of leaky ReLU multiplies by recorded slopes, here in a pass forward.
        product: Tensor = torch.ops.aten.leaky_relu_backward(x, next(self._signed), slope, False)
        return product


class _WithGradients(torch.autograd.Function):
    """A scalar, whose gradients with respect to some weights are given."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *gradients_and_weights: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients_and_weights[:count])
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        return None, None, *[None] * len(gradients), *[grad.to(g) * g for g in gradients]


def with_gradients(value: Tensor, gradients: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The scalar `value`, whose gradient with respect to each of `weights` is the given one."""
    scalar: Tensor = _WithGradients.apply(  # type: ignore[no-untyped-call]
        value, len(gradients), *gradients, *weights
    )
    return scalar


def replay(
    network: Callable[[Tensor], Any],
    recording: Recording,
    toward: Iterable[Tensor | None],
    images: Tensor,
    factor_B: Tensor | None,
) -> Tensor:
    """Zero, whose weight gradient is that of Σ ã(images, factor_B) over the samples.

    `network` is the one that was recorded, `toward` is what `recording.back` gave. `factor_B` is 0
    if it is not given; biases then have no gradient.
    """
    pass_ = _Replay(recording.signed, toward, factor_B)
    with torch.enable_grad(), pass_:  # scaled weights need their graphs; images have none
        network(images)
    weights = [weight for weight, _ in pass_.gradients]
    gradients = [gradient for _, gradient in pass_.gradients]
    return with_gradients(images.new_zeros(()), gradients, weights)
