"""A store in front of another store, for tests in which writes are late or fail."""

import threading
from collections.abc import Callable

from ganinv.seams.stores import Store


class Harassed:
    """A store whose writes wait for `gate` and then raise `fault(name)`, unless that is None.

    `reached` is set once the first write has begun.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.fault: Callable[[str], Exception | None] = lambda _: None

    def __getattr__(self, verb: str) -> object:
        return getattr(self.store, verb)

    def _pass(self, name: str) -> None:
        self.reached.set()
        assert self.gate.wait(30)
        if error := self.fault(name):
            raise error

    def write(self, name: str, data: memoryview) -> None:
        self._pass(name)
        self.store.write(name, data)

    def write_if_absent(self, name: str, data: bytes) -> None:
        self._pass(name)
        self.store.write_if_absent(name, data)
