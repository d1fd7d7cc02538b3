"""The host, as the rest of the package asks it: the real one in a plugin, one in memory in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ._views import RawCallback

#: A part of a message: bytes, or the body of a callback, which does not enter the plugin.
Part = bytes | RawCallback


class Host(Protocol):
    """What a plugin may ask."""

    def verify_mac(
        self, secret: str, form: str, algorithm: str, message: Sequence[Part], encoding: str, mac: bytes | str
    ) -> bool:
        """Whether ``mac`` is the keyed hash of the parts."""

    def verify_signature(
        self, key: str, algorithm: str, message: Sequence[Part], encoding: str, signature: bytes | str
    ) -> bool:
        """Whether ``signature`` signs the parts."""

    def equals(self, secret: str, value: bytes) -> bool:
        """Whether ``value`` is the secret."""

    def get(self, key: str) -> bytes | None:
        """A value of the state."""

    def set(self, key: str, value: bytes) -> None:
        """Sets a value of the state."""

    def remove(self, key: str) -> None:
        """Removes a value of the state."""

    def send(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Sends a request: status, headers and body of the response."""


_current: list[Host] = []


def current() -> Host:
    """The host that is asked now."""
    if not _current:
        from .testing import Host as InMemory

        _current.append(InMemory())
    return _current[-1]


def enter(host: Host) -> None:
    """Asks this host from now on."""
    _current.append(host)


def leave() -> None:
    """Asks the host before it again."""
    _current.pop()
