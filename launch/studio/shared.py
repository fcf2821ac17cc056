"""What all tabs of a studio share."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from launch.studio.options import StudioConfig
from launch.studio.session import Sessions
from launch.studio.workshop import Workshop


@dataclass(frozen=True, kw_only=True)
class Studio:
    """The model, the open sessions, and the threads that compute."""

    workshop: Workshop
    config: StudioConfig
    title: str  # the model's name
    sessions: Sessions
    # Pictures come first: a refinement takes seconds, and only one runs at a time.
    pictures: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(2, "studio-picture")
    )
    refinements: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "studio-refinement")
    )

    def close(self) -> None:
        """Stop what runs, and forget what waits."""
        self.sessions.close_all()
        for pool in (self.pictures, self.refinements):
            pool.shutdown(wait=True, cancel_futures=True)
