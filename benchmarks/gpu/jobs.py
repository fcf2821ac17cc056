"""What is measured, most important first: each job is one process a GPU, with some batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["speed", "resume"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Trainings that differ in their batch alone. `images`: of each GPU in a step."""

    kind: Kind = "speed"
    engine: str = "flat"
    precision: str = "bf16"
    gpus: int = 1
    images: tuple[int, ...] = ()
    compile: bool = False
    cuda_graphs: bool = False
    recompute_blocks: int = 0
    deterministic: bool = False

    @property
    def name(self) -> str:
        """In words, without the batches."""
        switches = [
            name
            for name, on in (
                ("torch.compile", self.compile),
                ("CUDA graphs", self.cuda_graphs),
                (f"{self.recompute_blocks} blocks recomputed", self.recompute_blocks > 0),
                ("deterministic", self.deterministic),
            )
            if on
        ]
        what = "resumption, " if self.kind == "resume" else ""
        gpus = f"{self.gpus} GPUs, " if self.gpus > 1 else ""
        return what + gpus + ", ".join([self.precision, self.engine, *switches])


SIZES = (16, 2, 8, 4, 32)
ENDS = (16, 2)


def jobs(gpus: int, *, on_gpu: bool) -> list[Job]:
    """All jobs for a machine with `gpus` GPUs. Processors have no tf32 and no CUDA graphs."""
    return [
        Job(images=SIZES),
        Job(kind="resume", deterministic=True),
        Job(kind="resume"),
        *([Job(images=(2, 4, 16), cuda_graphs=True)] if on_gpu else []),
        *(Job(images=SIZES, gpus=n) for n in _worlds(gpus)),
        *([Job(images=SIZES, precision="tf32")] if on_gpu else []),
        Job(images=ENDS, deterministic=True),
        Job(images=(16, 32), recompute_blocks=2),
        Job(images=SIZES, engine="deepspeed"),
        Job(images=SIZES, precision="fp32"),
        Job(images=(16,), compile=True),
        *([Job(images=(2,), compile=True, cuda_graphs=True)] if on_gpu else []),
        *([Job(images=SIZES, precision="tf32", engine="deepspeed")] if on_gpu else []),
        Job(images=ENDS, precision="fp32", engine="deepspeed"),
    ]


def _worlds(gpus: int) -> Sequence[int]:
    """Powers of two above 1, the largest first."""
    return [n for n in (64, 32, 16, 8, 4, 2) if n <= gpus]
