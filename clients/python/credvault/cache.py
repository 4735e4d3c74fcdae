"""Credentials in memory, each for as long as the vault allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from credvault.credential import Credential


class Cache:
    """Keeps credentials by what was asked for. Safe for threads."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        # By time of storing: the eldest stands first.
        self._kept: dict[Hashable, tuple[Credential, float]] = {}

    def get(self, key: Hashable) -> Credential | None:
        """The credential that was put under this key, if its time is not over."""
        with self._lock:
            credential, end = self._kept.get(key, (None, 0.0))
            if credential is not None and end <= self._clock():
                del self._kept[key]
                return None
            return credential

    def put(self, key: Hashable, credential: Credential) -> None:
        """Keeps a credential that has just arrived, unless the vault allows no time for it."""
        seconds = credential.message.cache_duration.ToTimedelta().total_seconds()
        with self._lock:
            self._kept.pop(key, None)
            if seconds <= 0 or self._limit <= 0:
                return
            now = self._clock()
            if len(self._kept) >= self._limit:
                self._kept = {key: kept for key, kept in self._kept.items() if kept[1] > now}
            while len(self._kept) >= self._limit:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (credential, now + seconds)

    def drop(self, tag: str) -> None:
        """Forgets a credential wherever it is kept."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[0].tag != tag}
