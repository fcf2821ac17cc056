"""The further figures of an evaluation, chosen by the options."""

import logging
from pathlib import Path

import torch

from ganinv.errors import ConfigError
from ganinv.evaluation.further import Further
from ganinv.metrics import lpips
from launch.evaluation.faces import face_metric
from launch.options.schema import FigureOptions

log = logging.getLogger(__name__)


def further_figures(options: FigureOptions, device: torch.device) -> Further:
    """The further figures that `options` names, with their networks.

    Raises `ConfigError` for a file that cannot be used. Where the packages of the identity distance
    are missing, the log says so, and it is left out.
    """
    pairs, missing = [], []
    if options.lpips is not None:
        heads = None if options.lpips_heads is None else Path(options.lpips_heads)
        pairs.append(lpips.load(Path(options.lpips), heads, device))
    distances = tuple(loaded.metric.figure.name for loaded in pairs)
    if "identity" in options.further:
        try:
            pairs.append(face_metric())
        except ConfigError as error:
            log.warning("%s", error)
            missing.append("identity_distance")
    return Further(
        pairs=pairs,
        distances=distances,
        swd_patches="swd_patches" in options.further,
        path_length="path_length" in options.further,
        separability="separability" in options.further,
        missing=missing,
    )
