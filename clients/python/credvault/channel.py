"""The connection to the vault, which follows the files of its certificates."""

from __future__ import annotations

import importlib.resources
import os
import threading
import time
from collections.abc import Callable

import grpc

# Files that are replaced one after the other are a pair only once they rest.
REST_SECONDS = 1.0

_OPTIONS = (
    ("grpc.service_config", importlib.resources.files("credvault").joinpath("service-config.json").read_text()),
    # Without pings, a replica that disappears makes calls wait until their deadline.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


class Channel:
    """A channel with the certificates that are in the files now. Safe for threads."""

    def __init__(
        self,
        target: str,
        files: tuple[str | os.PathLike[str], ...],
        server_name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._files = files
        self._options = _OPTIONS + ((("grpc.default_authority", server_name),) if server_name else ())
        self._clock = clock
        self._lock = threading.Lock()
        self._state = self._present()
        self._changing: tuple[object, float] | None = None
        self._channel = self._open()

    def get(self) -> grpc.Channel:
        """The channel for the next call. A call in progress keeps the one that it began with."""
        with self._lock:
            state = self._present()
            if state is None or state == self._state:
                self._changing = None
            elif self._changing is None or self._changing[0] != state:
                self._changing = (state, self._clock())
            elif self._clock() - self._changing[1] >= REST_SECONDS:
                self._channel, self._state, self._changing = self._open(), state, None
            return self._channel

    def close(self) -> None:
        """Ends the connection and all calls on it."""
        with self._lock:
            self._channel.close()

    def _present(self) -> object:
        """What changes with the files; None while one is missing."""
        try:
            found = [os.stat(file) for file in self._files]
        except OSError:
            return None
        return [(file.st_ino, file.st_size, file.st_mtime_ns) for file in found]

    def _open(self) -> grpc.Channel:
        authority, certificate, key = (_read(file) for file in self._files)
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        return grpc.secure_channel(self._target, credentials, options=self._options)


def _read(file: str | os.PathLike[str]) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()
