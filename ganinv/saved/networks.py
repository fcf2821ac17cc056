"""Builds a method's networks from stored options and weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganinv import networks, objectives
from ganinv.codec import Codec
from ganinv.errors import StorageContentError
from ganinv.objectives.base import Objective, networks_asked
from ganinv.plain import member_from_plain
from ganinv.saved import format as names
from ganinv.sizes import Resolution


def build_objective(options: Mapping[str, Any]) -> Objective:
    """The method of the sections `objective` and `network` of `options`.

    Raises `ConfigError` for unknown options.
    """
    module, config = member_from_plain(objectives.find, options, "objective")
    _, network = member_from_plain(networks.find, options, "network")
    objective: Objective = module.Objective(config, network.latent_size)
    return objective


def build_trained(
    options: Mapping[str, Any],
    *,
    resolution: Resolution,
    image_channels: int,
    weights: Mapping[str, Mapping[str, Tensor]],
    where: str,
) -> dict[str, nn.Module]:
    """The networks named by `weights`, built from the section `network` of `options`, frozen.

    They lie on the CPU, and have the types of the weights, whatever torch's defaults are. `where`
    names the source in messages. Raises `ConfigError` for unknown options, and `StorageError` if
    the weights do not fit the networks or are not finite.
    """
    family, config = member_from_plain(networks.find, options, "network")
    asked = networks_asked(build_objective(options))

    def build(device: str) -> dict[str, nn.Module]:
        with _torch_defaults(device):
            built: dict[str, nn.Module] = family.build(
                config, resolution=resolution, image_channels=image_channels, seed=0, **asked
            )
        return built

    try:
        outline = build("meta")  # without memory: the options may ask for any size
    except (RuntimeError, TypeError, ArithmeticError) as error:
        raise StorageContentError(
            f"{where}: no network can be built from its options ({str(error).splitlines()[0]}); "
            "restore weights and options of the same run"
        ) from error
    for name, tensors in weights.items():
        expected = outline[name].state_dict() if name in outline else {}
        if problem := misfit(name, expected, tensors):
            raise StorageContentError(
                f"{where}: its weights do not fit the networks that it names ({problem}); restore "
                "weights and options of the same run"
            )
        check_finite(tensors, f"{where}, network {name}")
    built = build("cpu")
    for name, tensors in weights.items():
        built[name].load_state_dict(tensors)
    return {name: built[name].requires_grad_(False).eval() for name in weights}


def checked_codec(
    objective: Objective,
    built: Mapping[str, nn.Module],
    tensors: Mapping[str, Tensor],
    where: str,
) -> Codec:
    """The method's codec. `tensors`: those of the latent.

    Raises `StorageContentError` if one is missing, does not fit the latent, or is not finite.
    """
    try:
        codec = objective.codec(built, tensors)
    except KeyError as error:
        raise StorageContentError(
            f"{where} lacks the tensor {error.args[0]}; export it again"
        ) from error
    check_finite(codec.tensors, where)
    wanted, held = (
        _kind(torch.empty(codec.latent.size, dtype=codec.dtype)),
        _kind(codec.latent.spread(codec.tensors)),
    )
    if wanted != held:
        names_of = ", ".join(codec.tensors)
        raise StorageContentError(
            f"{where}: the tensor {names_of} is {held}, but must be {wanted}; restore it, or "
            "export the run again"
        )
    return codec


def misfit(network: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first difference in names, types and shapes, in words; None if there is none."""
    prefix = f"{network}/" if network else ""
    for name in (*expected, *found):
        if name not in found:
            return f"the tensor {prefix}{name} is missing"
        if name not in expected:
            return f"no network has the tensor {prefix}{name}"
        wanted, held = (_kind(tensors[name]) for tensors in (expected, found))
        if wanted != held:
            return f"the tensor {prefix}{name} is {held}, but must be {wanted}"
    return None


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raises `StorageContentError` for a tensor with numbers that are not finite."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise StorageContentError(
                f"{where}: the tensor {name} holds NaN or infinite numbers, so no image can be "
                "made with it; load or export an earlier checkpoint"
            )


def _kind(tensor: Tensor) -> str:
    size = " × ".join(map(str, tensor.shape)) or "a single number"
    return f"{str(tensor.dtype).removeprefix('torch.')}, {size}"


@contextmanager
def _torch_defaults(device: str) -> Iterator[None]:
    """New tensors are float32 and on `device`, whatever a program has chosen."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def trained_prefix(objective: Objective, options: Mapping[str, Any], network: str) -> str:
    """The prefix, in a checkpoint, of the weights of a network that are used after training.

    These weights are the average if one is kept. Frozen networks have no average.
    """
    role = objective.roles[network]
    start = options.get("start") or {}
    frozen = not role.trained or network in (start.get("frozen") or ())
    return names.weights(network) if frozen or not role.averaged else names.average(network)
