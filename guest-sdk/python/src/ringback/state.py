"""A small store of the plugin's own, shared by its versions and calls in one workspace.

Keys have 1 to 256 bytes, values at most 64 KiB: else ``too-large``. At most 10,000 keys: else ``too-many-keys``.
"""

from __future__ import annotations

from . import _host


def get(key: str) -> bytes | None:
    """The value of a key, or ``None``."""
    return _host.current().get(key)


def set(key: str, value: bytes | str) -> None:
    """Sets a key, and returns when the value is on disk."""
    _host.current().set(key, value.encode() if isinstance(value, str) else bytes(value))


def remove(key: str) -> None:
    """Removes a key; one that is not there is no mistake."""
    _host.current().remove(key)
