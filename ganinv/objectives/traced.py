"""What DLSGAN and PVDGAN share: an encoder inside D, and a latent scale from traced variances.

    paper   here            shape
    v_f     state["fake"]   L      traced variance of the codes of generated images
    v_r     state["real"]   L      the same of real images (PVDGAN)
    s       scale(state)    L      from v_f (DLSGAN Alg. 1 l. 2, PVDGAN eq. 1)

Shapes: B samples, L latent elements, F features, C × H × W image.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.declarations import Highlight, Plot, Spectrum, Statistic
from ganinv.draws import Draws
from ganinv.latent_scale import (
    active_elements,
    effective_elements,
    latent_entropy_nats,
    latent_scale,
    new_trace,
    trace_variance,
    update_trace,
)
from ganinv.latents.base import Latent
from ganinv.latents.scaled_normal import SCALE, ScaledNormal
from ganinv.objectives.adversarial import PLOTS
from ganinv.objectives.base import Moments, State
from ganinv.objectives.conditional import ConditionalObjective
from ganinv.objectives.latent import mean_square
from ganinv.objectives.traced_codec import EncoderInDiscriminator

ENCODER_STATISTIC = Statistic(
    "loss/enc", "", "Encoder loss: squared error of recovered codes, scaled"
)
FIGURES = (
    Statistic(
        "latent/entropy_nats", "nats", "Differential entropy of the scaled latent code",
        gauge="latent_entropy_nats",
    ),
    Statistic(
        "latent/active", "elements", "Latent elements whose traced variance is above 0.1",
        gauge="latent_active_elements",
    ),
    Statistic(
        "latent/effective", "elements", "Participation ratio of the traced variances",
        gauge="latent_effective_elements",
    ),
)  # fmt: skip
ENCODER_PLOT = Plot(
    title="Error of the code, L_enc",
    series={"loss/enc": ""},
    caption="The distance of the code that the encoder estimates for a generated image from "
    "the code that generated it. Lower is better; 1 means no information.",
    from_zero=True,
)
ACTIVE_PLOT = Plot(
    title="Active latent elements",
    series={"latent/active": ""},
    caption="The number of elements of the code with v above 0.1: images use them.",
    from_zero=True,
)
LABELS = {"fake": "generated images", "real": "real images"}  # whose codes a trace follows


class TracedObjective(ConditionalObjective):
    """Traces, scale and figures; a method adds its rounds."""

    plots: tuple[Plot, ...] = (PLOTS[0], PLOTS[1], ENCODER_PLOT, *PLOTS[2:], ACTIVE_PLOT)
    traces: tuple[str, ...] = ("fake",)

    def __init__(self, config: Any, latent_size: int) -> None:
        self.config = config
        self.latent: Latent = ScaledNormal(latent_size)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (*self.config.statistics, ENCODER_STATISTIC, *self.label_statistics)

    @property
    def figures_declared(self) -> tuple[Statistic, ...]:
        return FIGURES

    @property
    def noise(self) -> Mapping[str, Draws]:
        names = ("z",) if self.config.schedule == "simultaneous" else ("z", "z_generator")
        return dict.fromkeys(names, self.latent)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        kind: Hashable = self.config.step_kind(images_seen, global_batch)
        return kind

    def new_state(self, global_batch: int) -> dict[str, Tensor]:
        config, size = self.config.trace, self.latent.size
        return {
            name: new_trace(config, size, global_batch, self.initial(name)) for name in self.traces
        }

    def initial(self, trace: str) -> float | None:
        """The value of a trace before the first step; None: `trace.initial`."""
        del trace
        return None

    def next_state(
        self, state: State, moments: Moments, *, images_seen: int, global_batch: int
    ) -> dict[str, Tensor]:
        return {  # DLSGAN Alg. 1 l. 8, PVDGAN Alg. 1 l. 10–11
            name: update_trace(
                self.config.trace, trace, mean_square(moments[name]), images_seen, global_batch
            )
            for name, trace in state.items()
        }

    def scale(self, state: State) -> Tensor:
        """s_L, float64: what a code is multiplied with before it enters G."""
        return latent_scale(trace_variance(state["fake"]))

    def tensors(self, state: State) -> dict[str, Tensor]:
        return {SCALE: self.scale(state).float()}

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        held, scale = {name: networks[name] for name in self.roles}, {SCALE: tensors[SCALE]}
        return EncoderInDiscriminator(latent=self.latent_of_model, networks=held, tensors=scale)

    def figures(self, state: State) -> dict[str, float]:
        variance_L = trace_variance(state["fake"])
        return {
            "latent/entropy_nats": latent_entropy_nats(self.scale(state)),
            "latent/active": active_elements(variance_L),
            "latent/effective": effective_elements(variance_L),
        }

    def highlights(self, state: State) -> tuple[Highlight, ...]:
        figures, size = self.figures(state), self.latent.size
        largest = latent_entropy_nats(torch.ones(size))
        return (
            Highlight(
                label="Latent entropy",
                value=f"{figures['latent/entropy_nats']:.1f}",
                unit="nats",
                meaning=f"largest possible: {largest:.1f}",
            ),
            Highlight(
                label="Active elements",
                value=f"{figures['latent/active']} of {size}",
                meaning="traced variance above 0.1",
            ),
        )

    def spectra(self, state: State) -> dict[str, Spectrum]:
        return {
            name: Spectrum(LABELS[name], trace_variance(trace)) for name, trace in state.items()
        }
