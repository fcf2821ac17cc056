"""Options of the loader. Light to import, for code that only reads configuration."""

from dataclasses import dataclass

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderConfig:
    """How samples are read. No option changes which samples are read, or their order."""

    workers: int = 1  # decoding threads per rank; 0: the training thread decodes
    prefetch_bytes: int = 256 * 2**20  # per rank, for prefetched samples, encoded and decoded
    attributes: bool = False  # also read the attributes of the samples
    max_quarantined: int = 100  # corrupt samples that the run tolerates, …
    max_quarantined_ratio: float = 0.01  # … also at most this ratio, 0–1, of all samples

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

    def max_bad_samples(self, samples: int) -> int:
        """How many of `samples` samples may be bad: the lower of both limits.

        The ratio always allows one sample.
        """
        return min(self.max_quarantined, max(1, int(self.max_quarantined_ratio * samples)))
