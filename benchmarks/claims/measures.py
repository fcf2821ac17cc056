"""The figures of a session on discs."""

import torch

from benchmarks.claims.claim import Row
from benchmarks.claims.discs import TEST, TRAIN, discs, factor_error
from ganinv.metrics.psnr import psnr_db
from ganinv.pictures import to_signed
from ganinv.training.session import Session

PRIOR_SEED = 7


@torch.no_grad()
def measure(session: Session) -> Row:
    """All by the averaged weights, on held-out discs and on as many generated images."""
    model = session.model()
    images, truth = discs()
    real = to_signed(images[TRAIN:])
    again = model.decode(model.encode(real)).clamp(-1, 1)
    code = model.prior(range(TEST), PRIOR_SEED)
    made = model.decode(code)
    latent, tensors = model.codec.latent, model.codec.tensors
    read = model.encode(made.clamp(-1, 1))
    return {
        "images": session.images_seen,
        "enc": float(latent.error(code, read, tensors).mean()),
        "psnr_test": float(psnr_db(again, real).mean()),
        "psnr_generated": float(psnr_db(model.decode(read), made).mean()),
        "factor_error": factor_error(again, truth[TRAIN:]),
        **session.objective.figures(session.state),
    }
