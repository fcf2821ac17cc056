"""Computes all figures of a model, on any number of ranks.

The ranks share the batches of images. Each rank keeps only float64 sums and features, so the number
of ranks changes no more than the last bits of a sum. Then every rank gets the features of all
images, in the order of the images, and the ranks share the set metrics. They wait for each other
after each batch and each piece of a metric: a collective fails if it waits too long.

Shapes: B images of a batch, N of a set, L latent elements, F features, C × H × W image.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganinv.errors import DataError
from ganinv.evaluation.figures import ENCODER_LOSS, IMAGE_SETS, distance_name, pair_name, set_name
from ganinv.evaluation.further import Further, FurtherFigures
from ganinv.evaluation.held_out import HeldOut, RealFeatures
from ganinv.evaluation.reading import read_ahead
from ganinv.fitting import Fitting
from ganinv.metrics.base import SetMetric, code_metrics, pair_metrics, set_metrics
from ganinv.metrics.feature_distance import METRIC as FEATURE_DISTANCE
from ganinv.metrics.features import FeatureRows, Features
from ganinv.metrics.ranks import Ranks
from ganinv.metrics.swd_patches import OwnImages
from ganinv.model import InvertibleGan
from ganinv.pictures import shown, to_bytes, to_signed
from ganinv.seams.engine import SumReduce, no_reduction
from ganinv.sizes import size_of

log = logging.getLogger(__name__)
BATCH = 32  # images in memory at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """This rank's share of an evaluation: every `world`-th batch.

    A batch holds the same images on any number of ranks, so networks give the same bits for it.
    """

    rank: int = 0
    world: int = 1

    def batches(self, count: int) -> Iterator[range]:
        """The numbers of this rank's images out of `count`, batch by batch."""
        for start in range(self.rank * BATCH, count, self.world * BATCH):
            yield range(start, min(start + BATCH, count))


class Sums:
    """Means of named values over all ranks; each rank holds its own sums and counts."""

    def __init__(self, names: Sequence[str]) -> None:
        self._place = {name: number for number, name in enumerate(names)}
        self._total = torch.zeros(len(names), 2, dtype=torch.float64)

    def add(self, name: str, value_B: Tensor) -> None:
        self._total[self._place[name], 0] += value_B.double().sum().cpu()
        self._total[self._place[name], 1] += len(value_B)

    def means(self, reduce: SumReduce) -> dict[str, float]:
        """Means by name, without names that have no values. All ranks call this together."""
        totals = zip(self._place, reduce(self._total).tolist(), strict=True)
        return {name: total / count for name, (total, count) in totals if count}


Watch = Callable[[Iterable[range], str], Iterable[range]]


def unwatched(batches: Iterable[range], title: str) -> Iterable[range]:
    """The `Watch` of an evaluation that shows no progress."""
    del title
    return batches


class Evaluator:
    """Computes the figures of a model any number of times, on the same images and codes."""

    def __init__(
        self,
        held_out: HeldOut,
        *,
        generated: int,
        seed: int,
        share: Share | None = None,
        reduce: SumReduce = no_reduction,
        watch: Watch = unwatched,
        further: Further | None = None,
    ) -> None:
        """`generated`: number of images. `seed` decides these images and all metrics' draws."""
        self.held_out = held_out
        self.generated = generated
        self.seed = seed
        self._share = share or Share()
        self._reduce = reduce
        self._ranks = Ranks(rank=self._share.rank, world=self._share.world, reduce=reduce)
        self._watch = watch
        self._fitting = Fitting(BATCH)
        self._real = RealFeatures(held_out, first=self._share.rank == 0, reduce=reduce)
        self.corrupt = 0
        """Corrupt held-out images that the last evaluation skipped."""
        self.further = FurtherFigures(
            further or Further(),
            held_out,
            generated=generated,
            seed=seed,
            batches=self._batches,
            ranks=self._ranks,
        )
        shorter = min(size_of(held_out.resolution))
        pairs = [*pair_metrics(), *(loaded.metric for loaded in self.further.options.pairs)]
        self._pairs = [m for m in pairs if m.least_pixels <= shorter]
        fewest = min(held_out.count, generated)
        self._sets = [m for m in set_metrics() if m.least_samples <= fewest]
        self._small = [m.figure.name for m in pairs if m not in self._pairs]
        self._small += [f.name for m in set_metrics() if m not in self._sets for f in m.figures]

    @property
    def left_out(self) -> list[str]:
        """Figures that are left out because the images are too small or too few, or, once there
        was an evaluation, because the held-out images have no attributes.
        """
        return self._small + self.further.lacking

    def figures(self, model: InvertibleGan, networks: Sequence[Features]) -> dict[str, float]:
        """Figures by their names in `metrics.jsonl`; all ranks call this together.

        If a figure cannot be computed, for example from non-finite features, it is NaN and the log
        has a warning. A model without an encoder has no figures of reconstructions and codes.
        """
        # Of networks that users give; the model fits its own batches.
        networks = [replace(f, extract=self._fitting.fitted(f.extract)) for f in networks]
        figures = [f for m in self._pairs for f in (m.figure, m.counted) if f is not None]
        names = [pair_name(figure, image_set) for figure in figures for image_set in IMAGE_SETS]
        names += [distance_name(f.name, image_set) for f in networks for image_set in IMAGE_SETS]
        sums = Sums([*names, ENCODER_LOSS])
        images = OwnImages("held out"), OwnImages("generated")
        real, again, codes, good_N = self._add_held_out(model, networks, sums, images[0])
        fake = self._add_generated(model, networks, sums, images[1])
        found = sums.means(self._reduce)
        if model.encodes and bool(good_N.any()):
            code_NL = codes.gathered(self._reduce)[good_N]
            code_NL = code_NL[:, : model.latent_size - len(model.classes)]
            found |= {pair_name(m.figure, "test"): m.function(code_NL) for m in code_metrics()}
        sets = [
            m
            for m in self._sets
            if m.least_samples <= good_N.sum() and (model.encodes or m.second == "generated")
        ]
        label_NA = self.further.labels(model, good_N)
        for f in networks if sets else ():
            others = {"generated": fake[f.name].gathered(self._reduce)}
            if model.encodes:
                others["reconstructions"] = again[f.name].gathered(self._reduce)[good_N]
            real_NF = self._real.gathered(f, real[f.name], good_N)
            found |= self._set_figures(sets, f.name, real_NF, others, model.device)
            if label_NA.shape[1]:
                both = real_NF.to(model.device), others["generated"].to(model.device)
                found |= self._of_rank_0(self.further.separability(model, f.name, both, label_NA))
        further = self.further.figures(model, networks, self._pairs, images, good_N)
        return found | self._of_rank_0(further)

    def _add_held_out(
        self, model: InvertibleGan, networks: Sequence[Features], sums: Sums, images: OwnImages
    ) -> tuple[dict[str, FeatureRows], dict[str, FeatureRows], FeatureRows, Tensor]:
        """This rank's features of held-out images and of their reconstructions, codes, and for
        every held-out image whether it could be read (N, bool).
        """
        known = {f.name: self._real.known(f) for f in networks}
        rows = {f.name: FeatureRows(self.held_out.count) for f in networks}
        again = {f.name: FeatureRows(self.held_out.count) for f in networks}
        codes = FeatureRows(self.held_out.count)
        read_N = torch.zeros(self.held_out.count, dtype=torch.float64)
        read = read_ahead(self.held_out.read, self._share.batches(self.held_out.count))
        for _ in self._batches(self.held_out.count, "held-out images"):
            numbers, found_BCHW = next(read)
            if not numbers:
                continue
            read_N[list(numbers)] = 1
            if self.further.options.swd_patches:
                images.put(numbers, shown(found_BCHW))
            found_BCHW = found_BCHW.to(model.device)
            byte_BCHW, image_BCHW = shown(found_BCHW), to_signed(found_BCHW)
            recovered_BCHW = None
            if model.encodes:
                code_BL = model.encode(image_BCHW)
                codes.put(numbers, code_BL)
                recovered_BCHW = model.decode(code_BL)
                self._add_pairs(sums, "test", image_BCHW, recovered_BCHW)
            for f in networks:
                known_NF = known[f.name]
                if known_NF is None:
                    feature_BF = f.extract(byte_BCHW)
                    rows[f.name].put(numbers, feature_BF)
                else:
                    feature_BF = known_NF[list(numbers)].to(model.device)
                if recovered_BCHW is not None:
                    other_BF = self._add_distance(sums, "test", f, feature_BF, recovered_BCHW)
                    again[f.name].put(numbers, other_BF)
        read.close()
        good_N = self._reduce(read_N) > 0
        self.corrupt = int((~good_N).sum())
        return rows, again, codes, good_N

    def _add_generated(
        self, model: InvertibleGan, networks: Sequence[Features], sums: Sums, images: OwnImages
    ) -> dict[str, FeatureRows]:
        rows = {f.name: FeatureRows(self.generated) for f in networks}
        for numbers in self._batches(self.generated, "generated images"):
            code_BL = model.prior(numbers, self.seed)
            image_BCHW = model.decode(code_BL)
            byte_BCHW = to_bytes(image_BCHW)
            if self.further.options.swd_patches:
                images.put(numbers, byte_BCHW)
            recovered_BCHW = None
            if model.encodes:
                recovered_BL = model.encode(image_BCHW)
                sums.add(ENCODER_LOSS, model.codec.code_error(code_BL, recovered_BL))
                recovered_BCHW = model.decode(recovered_BL)
                self._add_pairs(sums, "generated", image_BCHW, recovered_BCHW)
            for f in networks:
                feature_BF = f.extract(byte_BCHW)
                rows[f.name].put(numbers, feature_BF)
                if recovered_BCHW is not None:
                    self._add_distance(sums, "generated", f, feature_BF, recovered_BCHW)
        return rows

    def _batches(self, count: int, title: str) -> Iterator[range]:
        """This rank's batches out of `count` images, in step with all ranks."""
        own = self._watch(self._share.batches(count), title)
        return self._ranks.in_step(own, -(-count // BATCH))

    def _add_pairs(
        self, sums: Sums, image_set: str, image_BCHW: Tensor, other_BCHW: Tensor
    ) -> None:
        for metric in self._pairs:
            value_B = metric.measure(image_BCHW, other_BCHW)
            if metric.counted is not None:
                there_B = ~value_B.isnan()
                sums.add(pair_name(metric.counted, image_set), there_B)
                value_B = value_B[there_B]
            sums.add(pair_name(metric.figure, image_set), value_B)

    def _add_distance(
        self, sums: Sums, image_set: str, features: Features, feature_BF: Tensor, other_BCHW: Tensor
    ) -> Tensor:
        """Returns the features of the other images."""
        other_BF = features.extract(to_bytes(other_BCHW))
        distance_B = FEATURE_DISTANCE.measure(feature_BF, other_BF)
        sums.add(distance_name(features.name, image_set), distance_B)
        return other_BF

    def _set_figures(
        self,
        sets: Sequence[SetMetric],
        features: str,
        real_NF: Tensor,
        others: Mapping[str, Tensor],
        device: torch.device,
    ) -> dict[str, float]:
        """`others`: features of the sets that real images are compared with."""
        names = [set_name(figure, features) for m in sets for figure in m.figures]
        real_NF = real_NF.to(device)
        other = {name: feature_MF.to(device) for name, feature_MF in others.items()}
        found = [v for m in sets for v in self._measured(m, real_NF, other[m.second])]
        return self._of_rank_0(dict(zip(names, found, strict=True)))

    def _of_rank_0(self, found: dict[str, float]) -> dict[str, float]:
        """The values of rank 0, which are all ranks' values unless their processors differ."""
        value_K = torch.tensor(list(found.values()), dtype=torch.float64)
        if self._share.rank != 0:
            value_K = torch.zeros_like(value_K)
        return dict(zip(found, self._reduce(value_K).tolist(), strict=True))

    def _measured(self, metric: SetMetric, real_NF: Tensor, fake_MF: Tensor) -> list[float]:
        """A metric's figures; NaN if it cannot be computed.

        Features that are not finite are found by all ranks before their first collective. A matrix
        may fail to decompose on one rank alone, but only after the metric's last collective.
        """
        try:
            found = metric.measure(real_NF, fake_MF, seed=self.seed, ranks=self._ranks)
            return list(found.values())
        # LinAlgError is public and documented, but PyTorch's type stubs do not export it.
        except (DataError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            log.warning("a figure is left empty: %s", error)
            return [math.nan] * len(metric.figures)
