"""A judge that no system has seen: a small network trained on the labels of the same images.

It says what an image shows after an edit, and its features measure how alike two pictures are. It
is trained on real images with their true labels; its accuracy on held-out ones comes with every
result. Shapes: B images, K labels, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.systems.photographs import RESOLUTION, Photographs
from ganinv.pictures import to_signed
from launch.editing.labels import Label

EPOCHS, BATCH, RATE = 4, 64, 2e-3
FEATURES = 64
AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The trained network. `accuracy_K`: on held-out images, of each label."""

    labels: tuple[Label, ...]
    trunk: nn.Module
    head: nn.Module
    accuracy_K: Tensor

    @torch.no_grad()
    def features(self, image_BCHW: Tensor) -> Tensor:
        """Features of images in [−1, 1], B × F."""
        return torch.cat([self.trunk(part) for part in image_BCHW.split(AT_ONCE)])

    @torch.no_grad()
    def says(self, image_BCHW: Tensor) -> Tensor:
        """Whether each label holds, B × K."""
        found: Tensor = self.head(self.features(image_BCHW)) > 0
        return found


def truth(labels: Sequence[Label], attributes: Sequence[Mapping[str, Any]]) -> Tensor:
    """Whether each label holds for each image by its attributes, B × K."""
    return torch.tensor([[bool(label.of(row)) for label in labels] for row in attributes])


def judge(data: Photographs, labels: Sequence[Label], seed: int) -> Judge:
    """Train a judge; a minute of one core."""
    torch.manual_seed(seed)
    trunk, head = _trunk(), nn.Linear(FEATURES, len(labels))
    parameters = [*trunk.parameters(), *head.parameters()]
    true_BK = truth(labels, data.train_attributes)
    steps = EPOCHS * (len(true_BK) // BATCH)
    adam = torch.optim.Adam(parameters, RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(true_BK))[: len(true_BK) // BATCH * BATCH].split(BATCH):
            image_BCHW = to_signed(data.train_BCHW[chosen])
            loss = functional.binary_cross_entropy_with_logits(
                head(trunk(image_BCHW)), true_BK[chosen].float()
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
            falling.step()
    found = Judge(
        labels=tuple(labels), trunk=trunk.eval(), head=head, accuracy_K=torch.zeros(len(labels))
    )
    right_BK = found.says(to_signed(data.test_BCHW)) == truth(labels, data.test_attributes)
    return Judge(labels=found.labels, trunk=trunk, head=head, accuracy_K=right_BK.float().mean(0))


def _trunk() -> nn.Module:
    """Four convolutions that halve the image, and a layer of features."""
    layers: list[nn.Module] = []
    channels, side = 3, RESOLUTION
    for width in (24, 48, 96, 96):
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.ReLU()]
        channels, side = width, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, FEATURES), nn.ReLU())
