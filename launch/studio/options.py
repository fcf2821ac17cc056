"""Options of the studio."""

from dataclasses import dataclass

from ganinv.alignment.transform import ALIGNMENTS
from ganinv.errors import ConfigError

MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class StudioConfig:
    """Where the page is served, what it shows, and what it accepts."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    boundaries: str | None = None  # file; None: boundaries.safetensors beside the model, if any
    align: str | None = None  # faces, crop, pad or stretch; None: as the model's data
    elements: int = 6  # sliders for the most informative elements
    principal: int = 4  # sliders for the principal directions of the generator's first layer
    max_upload_mb: int = 20  # megabytes of one upload
    max_pixels: int = 50_000_000  # of one photograph
    max_sessions: int = 16  # open tabs; a closed one counts until it is given up

    def __post_init__(self) -> None:
        if self.align is not None and self.align not in ALIGNMENTS:
            raise ConfigError(f"align = {self.align}: choose one of {', '.join(ALIGNMENTS)}")
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port = {self.port}: choose 0 to 65535")
        for key in ("max_upload_mb", "max_pixels", "max_sessions"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        for key in ("elements", "principal"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must not be below 0")

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * MEGABYTE
