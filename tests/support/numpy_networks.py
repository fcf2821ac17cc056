"""Tiny dense networks, their gradients and Adam in plain NumPy, float64. No autograd.

    G(c)   A₂ tanh(A₁ c + a₁) + a₂
    D*(x)  y = tanh(B₁ x + b₁),  h = tanh(B₂ y + b₂),  a = β·h + β₀,  z′ = C h + c₀

Gradients are taken by complex step, f′(x) = Im f(x + ih) / h (Squire and Trapp, "Using complex
variables to estimate derivatives of real functions", 1998): nothing is subtracted, so they are
exact to the last bits. It needs analytic functions, therefore tanh, log(1 + eˣ) and x·x.

Shapes: B samples, P pixels, L latent elements, F features (units of every hidden layer).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float64; complex128 while a gradient is taken
Params = dict[str, Array]
STEP = 1e-40  # of the complex step; its square is no double


def generate(g: Params, code_BL: Array) -> Array:
    image_BP: Array = np.tanh(code_BL @ g["A1"].T + g["a1"]) @ g["A2"].T + g["a2"]
    return image_BP


def judge(d: Params, x_BP: Array, feature: str = "first") -> tuple[Array, Array, Array]:
    """a_B, z′_BL and the feature: y_BF, the first hidden layer, or h_BF, the second."""
    y_BF = np.tanh(x_BP @ d["B1"].T + d["b1"])
    h_BF = np.tanh(y_BF @ d["B2"].T + d["b2"])
    feature_BF = y_BF if feature == "first" else h_BF
    return h_BF @ d["beta"] + d["beta0"], h_BF @ d["C"].T + d["c0"], feature_BF


def r1(d: Params, x_BP: Array) -> Array:
    """Mean of ‖∇ₓ a‖², by the chain rule."""
    y_BF = np.tanh(x_BP @ d["B1"].T + d["b1"])
    h_BF = np.tanh(y_BF @ d["B2"].T + d["b2"])
    toward_y_BF = (d["beta"] * (1 - h_BF * h_BF)) @ d["B2"]
    toward_x_BP = (toward_y_BF * (1 - y_BF * y_BF)) @ d["B1"]
    penalty: Array = (toward_x_BP * toward_x_BP).sum(1).mean()
    return penalty


def softplus(x: Array) -> Array:
    value: Array = np.log(1 + np.exp(x))
    return value


def gradient(function: Callable[[Params], Array], params: Params) -> Params:
    """∂ function / ∂ every parameter."""
    result = {}
    for name, value in params.items():
        slopes = np.empty(value.size)
        for index in range(value.size):
            moved = value.astype(complex).reshape(-1)
            moved[index] += 1j * STEP
            result_at = function({**params, name: moved.reshape(value.shape)})
            slopes[index] = result_at.imag / STEP
        result[name] = slopes.reshape(value.shape)
    return result


@dataclass
class Adam:
    """Kingma and Ba (2015), Algorithm 1."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    steps: int = 0
    first: Params = field(default_factory=dict)
    second: Params = field(default_factory=dict)

    def step(self, params: Params, gradients: Params) -> Params:
        self.steps += 1
        result = {}
        for name, g in gradients.items():
            m = self.beta1 * self.first.get(name, 0 * g) + (1 - self.beta1) * g
            v = self.beta2 * self.second.get(name, 0 * g) + (1 - self.beta2) * g * g
            self.first[name], self.second[name] = m, v
            m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
            result[name] = params[name] - self.learning_rate * m_hat / (
                np.sqrt(v_hat) + self.epsilon
            )
        return result
