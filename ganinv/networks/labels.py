"""What conditional networks have beside others: an embedding of labels, and a classifier.

G sees the label's embedding beside the code. D adds a projection to its adversarial value, a
function of the image's features for each class (T. Miyato and M. Koyama, "cGANs with Projection
Discriminator", 2018, arXiv 1802.05637, eq. 3: a(x, y) = ψ(φ(x)) + yᵀ V φ(x)). The heads of each
family give V φ(x) beside the value of the image alone, and `objectives.conditional` the sum.

The projection says how much more often real images have these features than generated ones do,
within a class. It is 0 for a perfect generator, and so no classifier. The classifier here reads the
class of an image for inversion: a linear function of the features that PVDGAN compares, trained on
real images.

Shapes: B samples, L latent elements, K classes, E elements of an embedding, F features.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.networks.layers import drawn_weights, in_float32

CODE_SHARE = 4  # elements of a code for one of an embedding


def embedding_size(latent_size: int) -> int:
    return max(1, latent_size // CODE_SHARE)


class LabelEmbedding(nn.Module):
    """What enters the generator, B × (L + K), with the label as an embedding: B × (L + E).

    Elements of embeddings begin as N(0, 1), as those of codes. Labels get no gradient.
    """

    def __init__(self, latent_size: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn_weights(classes, embedding_size(latent_size)))
        self.latent_size = latent_size

    def forward(self, entering_BL: Tensor) -> Tensor:
        label_BK = entering_BL[:, self.latent_size :].detach()
        return torch.cat([entering_BL[:, : self.latent_size], label_BK @ self.weight], 1)


class Classifier(nn.Module):
    """Features of D → scores of the classes, B × K; their softmax estimates p(class | image).

    Features are standardised per image, so that one rate of learning suits all families. All
    weights begin at 0: every class is equally probable.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, features))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.rate = 1 / math.sqrt(features)

    def forward(self, feature_BF: Tensor) -> Tensor:
        return in_float32(self._scores, feature_BF)

    def _scores(self, feature_BF: Tensor) -> Tensor:
        standard_BF = F.layer_norm(feature_BF, feature_BF.shape[1:])
        return F.linear(standard_BF, self.weight * self.rate, self.bias)
