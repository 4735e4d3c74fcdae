"""The connection to the vault, which follows the files of its certificates."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import ssl
import threading
import time
from collections.abc import Callable

import grpc

File = str | os.PathLike[str]

# Files that are replaced one after the other are a pair only once they rest.
REST_SECONDS = 1.0

_OPTIONS = (
    ("grpc.service_config", importlib.resources.files("credvault").joinpath("service-config.json").read_text()),
    # Without pings, a replica that disappears makes calls wait until their deadline.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A vault that is back is found again while a read is still being repeated; gRPC itself would wait for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Channel:
    """A channel with the certificates that are in the files now. Safe for threads."""

    def __init__(
        self,
        target: str,
        files: tuple[File, File, File],
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
                self._state, self._changing = state, None
                # Files that do not fit together are left alone until they change again.
                with contextlib.suppress(OSError):
                    self._channel = self._open()
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
        # Reading comes first: its errors name the file.
        authority, certificate, key = (_read(file) for file in self._files)
        _check(*self._files)
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        return grpc.secure_channel(self._target, credentials, options=self._options)


def _check(authority: File, certificate: File, key: File) -> None:
    """Raises OSError if a file is not PEM, or if certificate and key are no pair: grpcio would only fail calls."""
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key, password=lambda: "")


def _read(file: File) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()
