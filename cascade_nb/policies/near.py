"""What was found in a store and may be used again, in small and bounded tables."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from cascade_nb.protocols import Versions

T = TypeVar("T")

# What is kept: so many records and contents, of at most so many bytes each.
_MOST_ITEMS, NEAR_BYTES = 1024, 16 * 1024


class Near:
    """What was found in the store, forgotten when the store changes."""

    def __init__(self, store: Versions) -> None:
        self.version = store.version
        self._version: Hashable | None = None
        self._items: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, version: Hashable | None, default: Any = None) -> Any:
        """What was found under `name` in the store as it is now."""
        if version is None or version != self._version:
            return default
        return self._items.get(name, default)

    def put(self, name: str, version: Hashable | None, item: Any) -> None:
        """Keep what was found under `name` when the store had that version."""
        if version is None:
            return
        with self._lock:
            if version != self._version:
                self._items = OrderedDict()
                self._version = version
            self._items[name] = item
            if len(self._items) > _MOST_ITEMS:
                self._items.popitem(last=False)


class Recent(Generic[T]):
    """What does not become wrong when the store changes."""

    def __init__(self) -> None:
        self._items: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, name: Hashable, default: Any = None) -> Any:
        """What is known under `name`."""
        return self._items.get(name, default)

    def put(self, name: Hashable, item: T) -> None:
        """Keep `item`, in place of the oldest where there are many."""
        self._items[name] = item
        if len(self._items) > _MOST_ITEMS:
            self._items.popitem(last=False)

    def pop(self, name: Hashable) -> None:
        """Forget what is known under `name`."""
        self._items.pop(name, None)
