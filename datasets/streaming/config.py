"""How the loader reads; light to import, for everyone who only reads configuration."""

from dataclasses import dataclass

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderConfig:
    """How samples are read; none of it shows in which samples are read."""

    workers: int = 1  # threads that decode, per rank; 0: the training thread does
    prefetch_bytes: int = 256 * 2**20  # of samples kept ahead per rank, encoded and decoded
    attributes: bool = False  # read the attributes of the samples, too
    max_quarantined: int = 100  # damaged samples that do not stop the run …
    max_quarantined_ratio: float = 0.01  # … and at most this part of the data set, but one

    def __post_init__(self) -> None:
        for key in ("workers", "max_quarantined"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be 0 or more")
        if self.prefetch_bytes < 1:
            raise ConfigError(f"prefetch_bytes = {self.prefetch_bytes}: must be at least 1")
        if not 0 <= self.max_quarantined_ratio <= 1:
            raise ConfigError(
                f"max_quarantined_ratio = {self.max_quarantined_ratio}: must lie in [0, 1]"
            )

    def most_bad(self, samples: int) -> int:
        """How many of so many samples may be damaged: within both limits, but always one."""
        return min(self.max_quarantined, max(1, int(self.max_quarantined_ratio * samples)))
