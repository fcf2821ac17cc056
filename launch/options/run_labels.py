"""Labels of several runs in one command: as short as they can be told apart."""

from collections.abc import Sequence

from ganinv.errors import ConfigError


def labelled(urls: Sequence[str]) -> dict[str, str]:
    """Labels the runs: the shortest end of a URL that no other run shares → URL.

    Raises `ConfigError` if a run is named twice.
    """
    parts = [url.rstrip("/").split("/") for url in urls]
    for i, own in enumerate(parts):
        if own in parts[:i]:
            raise ConfigError(f"{urls[i]} is named twice; name every run once")
    labels = []
    for own in parts:
        others = [other for other in parts if other is not own]
        length = 1
        while any(other[-length:] == own[-length:] for other in others):
            length += 1
        labels.append("/".join(own[-length:]))
    return dict(zip(labels, urls, strict=True))
