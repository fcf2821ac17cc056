"""`python -m launch report`: one HTML page with pictures and curves of a run."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor

from cluster.metrics_log import read_rows
from cluster.storage import open_store
from datasets.index import Index
from datasets.loader import read_samples
from ganinv.errors import ConfigError
from ganinv.evaluation import psnr_db
from ganinv.latent_scale import active_elements, latent_entropy_nats
from ganinv.model import InvertibleGan, to_bytes, to_signed
from launch.arguments import parse
from launch.config import read_sections
from launch.page import Headline, Images, Page, Traversal, render
from launch.schema import StorageConfig
from launch.trained import Trained, load_trained

SAMPLE_SEED = 0
INTERPOLATION_STEPS = 9
TRAVERSED = 3  # elements, the most important first (DLSGAN figs. 12–14)
TRAVERSAL_STEPS = 9
EXAMPLES = """\
examples:
  python -m launch report storage.run=runs/tiny
  python -m launch report storage.run=s3://ganinv/runs/a report.file=pages/a.html
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """What goes on the page, and where it is written."""

    file: str = "report.html"
    samples: int = 64  # generated images
    pairs: int = 16  # held-out images with their reconstructions
    interpolations: int = 4  # pairs of held-out images

    def __post_init__(self) -> None:
        for key in ("samples", "pairs", "interpolations"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")


def main(argv: list[str]) -> int:
    arguments = parse(argv, "report", "Make one self-contained HTML page of a run.", EXAMPLES)
    sections = read_sections(arguments.options, {"storage": StorageConfig, "report": ReportConfig})
    path = write_report(sections["storage"], sections["report"])
    print(json.dumps({"file": str(path)}) if arguments.as_json else f"report: {path}")
    return 0


def write_report(storage: StorageConfig, report: ReportConfig) -> Path:
    """The page of the newest good checkpoint; returns where it lies."""
    store = open_store(storage.run, endpoint_url=storage.endpoint_url)
    trained = load_trained(store)
    data = open_store(trained.config.data.url, endpoint_url=storage.endpoint_url)
    index = Index.load(data)
    wanted = max(report.pairs, 2 * report.interpolations, _evaluated(trained, index))
    held_out, _, _ = read_samples(data, index, "test", 0, min(wanted, index.samples("test")))
    page = make_page(trained, held_out, read_rows(store), storage.run, report)
    path = Path(report.file).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(page), encoding="utf-8")
    return path


def make_page(
    trained: Trained,
    held_out_BCHW: Tensor,
    rows: list[dict[str, float]],
    run_url: str,
    report: ReportConfig,
) -> Page:
    model = trained.model
    real = to_signed(held_out_BCHW)
    reconstructed = model.reconstruct(real)
    quality_B = psnr_db(real, reconstructed)
    variances = trained.objective.variances(trained.state)
    pairs, ends = report.pairs, 2 * report.interpolations
    images = trained.manifest.images_seen
    return Page(
        title=f"{trained.config.objective.name.upper()} after {images:,} images",
        run_url=run_url,
        facts=_facts(trained, rows),
        headlines=_headlines(trained, quality_B, rows),
        samples=_pixels(model.sample(report.samples, SAMPLE_SEED)),
        held_out=_pixels(real[:pairs]),
        reconstructions=_pixels(reconstructed[:pairs]),
        reconstruction_psnr_db=quality_B[:pairs].numpy(),
        interpolations=_rows_of(_interpolations(model, real[:ends]), INTERPOLATION_STEPS),
        interpolation_ends=_rows_of(real[: ends - ends % 2], 2),
        traversals=_traversals(trained, real[:1]),
        curves=rows,
        variance_fake=variances["fake"].numpy(),
        variance_real=variances["real"].numpy() if "real" in variances else None,
        config_yaml=_yaml(trained),
    )


def _interpolations(model: InvertibleGan, real_BCHW: Tensor) -> Tensor:
    """Straight lines between the codes of neighbours, one pair after another."""
    codes = model.encode(real_BCHW)
    first, second = codes[0::2], codes[1::2]
    first = first[: len(second)]
    weights = torch.linspace(0, 1, INTERPOLATION_STEPS)[None, :, None]
    between = first[:, None] * (1 - weights) + second[:, None] * weights
    return model.decode(between.flatten(0, 1))


def _traversals(trained: Trained, real_1CHW: Tensor) -> tuple[Traversal, ...]:
    """One held-out image; its most important elements set from −2 to 2 (before scaling by s)."""
    model = trained.model
    code = model.encode(real_1CHW)
    values = torch.linspace(-2, 2, TRAVERSAL_STEPS)
    variance_L = trained.objective.variances(trained.state)["fake"]
    found = []
    for element in model.scale_L.argsort(descending=True)[:TRAVERSED].tolist():
        varied = code.repeat(len(values), 1)
        varied[:, element] = values
        found.append(
            Traversal(
                images=_pixels(model.decode(varied)),
                values=tuple(values.tolist()),
                element=element,
                scale=float(model.scale_L[element]),
                variance=float(variance_L[element]),
            )
        )
    return tuple(found)


def _headlines(
    trained: Trained, quality_B: Tensor, rows: list[dict[str, float]]
) -> tuple[Headline, ...]:
    variance_L = trained.objective.variances(trained.state)["fake"]
    entropy = latent_entropy_nats(trained.objective.scale(trained.state))
    found = [
        Headline(
            label="PSNR of held-out images",
            value=f"{float(quality_B.mean()):.2f}",
            unit="dB",
            meaning=f"mean over {len(quality_B)} images that were never trained on",
        ),
        Headline(
            label="Latent entropy",
            value=f"{entropy:.1f}",
            unit="nats",
            meaning=f"largest possible: {latent_entropy_nats(torch.ones_like(variance_L)):.1f}",
        ),
        Headline(
            label="Active elements",
            value=f"{active_elements(variance_L)} of {variance_L.numel()}",
            meaning="traced variance above 0.1",
        ),
    ]
    evaluated = [row["eval/enc"] for row in rows if "eval/enc" in row]
    if evaluated:
        found.insert(
            1,
            Headline(
                label="Encoder loss",
                value=f"{evaluated[-1]:.3f}",
                meaning=f"L_enc of generated images; {evaluated[0]:.3f} at the first evaluation",
            ),
        )
    return tuple(found)


def _facts(trained: Trained, rows: list[dict[str, float]]) -> dict[str, str]:
    manifest, config, model = trained.manifest, trained.config, trained.model
    speeds = sorted(row["throughput/images_per_second"] for row in rows)
    facts = {
        "Method": config.objective.name,
        "Network": f"{config.network.name}, {_count(model.generator)} parameters in G, "
        f"{_count(model.discriminator)} in D with the encoder",
        "Images seen": f"{manifest.images_seen:,} in batches of {config.train.global_batch}",
        "Data set": f"{config.data.url} at {trained.recorded['image_resolution']} pixels",
        "Workers": f"{manifest.world_size}, ZeRO stage {config.engine.zero_stage}",
        "Checkpoint": manifest.name,
        "Written": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created)),
        "Versions": ", ".join(f"{k} {v}" for k, v in manifest.versions.items()),
    }
    if speeds:
        facts["Speed"] = f"{speeds[len(speeds) // 2]:.0f} images/s (median)"
    return facts


def _evaluated(trained: Trained, index: Index) -> int:
    return min(trained.config.evaluate.test_images, index.samples("test"))


def _count(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()):,}"


def _yaml(trained: Trained) -> str:
    return yaml.safe_dump(dict(trained.recorded), sort_keys=False)


def _pixels(image_BCHW: Tensor) -> Images:
    return to_bytes(image_BCHW).permute(0, 2, 3, 1).contiguous().numpy()


def _rows_of(image_BCHW: Tensor, columns: int) -> Images:
    return _pixels(image_BCHW).reshape(-1, columns, *image_BCHW.shape[2:], image_BCHW.shape[1])
