"""One slot's window: its samples in the order of their steps, and the bytes that were read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datasets.fetch import NO_PIECES, Encoded, Pieces, fetch
from datasets.quarantine import Quarantine
from datasets.shards import Shard
from datasets.tables import Columns, Member
from ganinv.seams import Store


@dataclass(kw_only=True, slots=True, eq=False)
class SlotWindow:
    """Where the samples lie; `read_steps` gets their bytes."""

    shards: Sequence[Shard]
    """Of every sample, in the order of the epoch."""
    columns: Columns
    """Of every sample, in the order of the epoch."""
    order: Sequence[int]
    """At each step of the window, the number of its sample in that order."""
    _pieces: Pieces = NO_PIECES
    """What was read, together with other slots'."""
    _images: Mapping[int, int] = field(default_factory=dict)
    """Step → number of its image among the pieces; none for those in quarantine …"""
    _texts: Mapping[int, int] = field(default_factory=dict)
    """… and of its attributes; none for samples without any."""

    def __len__(self) -> int:
        return len(self.order)

    def place(self, step: int) -> tuple[Shard, Member]:
        """What the slot gets at a step."""
        number = self.order[step]
        return self.shards[number], self.columns.member(number)

    def image(self, step: int) -> bytes | None:
        """The encoded image; None if it was not read."""
        number = self._images.get(step)
        return None if number is None else self._pieces.cut(number)

    def encoded(self, step: int) -> Encoded | None:
        """The sample of a step; None if it was not read."""
        image = self.image(step)
        if image is None:
            return None
        number = self._texts.get(step)
        text = b"" if number is None else self._pieces.cut(number)
        return Encoded(*self.place(step), image, text)


@dataclass
class _Wanted:
    """Pieces to fetch."""

    tars: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sizes_bytes: list[int] = field(default_factory=list)

    def add(
        self,
        window: SlotWindow,
        steps: Sequence[int],
        starts: Sequence[int],
        sizes_bytes: Sequence[int],
    ) -> dict[int, int]:
        """One piece for each of the steps; returns their numbers."""
        first = len(self.tars)
        numbers = [window.order[step] for step in steps]
        self.tars += [window.shards[number].name for number in numbers]
        self.starts += [starts[number] for number in numbers]
        self.sizes_bytes += [sizes_bytes[number] for number in numbers]
        return dict(zip(steps, range(first, len(self.tars)), strict=True))


def read_steps(
    store: Store,
    windows: Iterable[SlotWindow],
    steps: range,
    quarantine: Quarantine,
    *,
    attributes: bool,
) -> None:
    """Read what the windows hold for the steps, by one call of `read_ranges` for all of them.

    Samples in quarantine are not read.
    """
    wanted = _Wanted()
    windows = list(windows)
    for window in windows:
        columns = window.columns
        good = _good_steps(window, steps, store.url, quarantine)
        window._images = wanted.add(window, good, columns.image_start, columns.image_bytes)
        if attributes:
            described = [step for step in good if columns.json_bytes[window.order[step]]]
            window._texts = wanted.add(window, described, columns.json_start, columns.json_bytes)
    pieces = fetch(store, wanted.tars, wanted.starts, wanted.sizes_bytes)
    for window in windows:
        window._pieces = pieces


def _good_steps(
    window: SlotWindow, steps: range, url: str, quarantine: Quarantine
) -> Sequence[int]:
    if quarantine.is_empty:
        return steps
    numbers = [(step, window.order[step]) for step in steps]
    return [
        step
        for step, number in numbers
        if not quarantine.holds(url, window.shards[number].name, window.columns.key[number])
    ]
