"""Checks with secrets and keys that are stored by name; their values never enter the plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from . import _host
from ._views import Callback

MacAlgorithm = Literal["sha1", "sha256", "sha384", "sha512"]
SignatureAlgorithm = Literal[
    "ed25519",
    "ecdsa-p256-sha256",
    "ecdsa-p384-sha384",
    "rsa-pkcs1-sha1",
    "rsa-pkcs1-sha256",
    "rsa-pkcs1-sha512",
    "rsa-pss-sha256",
]
#: A callback stands for its body, which does not enter the plugin.
Part = bytes | str | Callback


def verify_hmac(
    secret: str,
    message: Iterable[Part] | Part,
    *,
    hex: str | None = None,
    base64: str | None = None,
    raw: bytes | None = None,
    algorithm: MacAlgorithm = "sha256",
    key: Literal["plain", "hex", "base64"] = "plain",
) -> bool:
    """Whether ``hex``, ``base64`` or ``raw`` is the HMAC of the parts of ``message``, compared in constant time.

    ``secret`` is the name of a secret, ``key`` how its value says the key. Raises ``unknown-secret`` or ``invalid-key``.

    >>> verify_hmac("SHOP", [timestamp, ".", callback], hex=callback.headers["x-signature"])   # doctest: +SKIP
    """
    encoding, mac = _one(hex=hex, base64=base64, raw=raw)
    return _host.current().verify_mac(secret, key, algorithm, _parts(message), encoding, mac)


def verify_signature(
    key: str,
    message: Iterable[Part] | Part,
    *,
    algorithm: SignatureAlgorithm,
    hex: str | None = None,
    base64: str | None = None,
    raw: bytes | None = None,
) -> bool:
    """Whether ``hex``, ``base64`` or ``raw`` signs the parts under the public key stored as the secret ``key``.

    Raises ``unknown-secret`` or ``invalid-key``. In tests only the host of :mod:`ringback.testing` that was given an answer
    knows one.
    """
    encoding, signature = _one(hex=hex, base64=base64, raw=raw)
    return _host.current().verify_signature(key, algorithm, _parts(message), encoding, signature)


def equals(secret: str, value: bytes | str) -> bool:
    """Whether ``value`` is the secret named ``secret``, compared in constant time. Raises ``unknown-secret``."""
    return _host.current().equals(secret, value.encode() if isinstance(value, str) else value)


def _one(**given: bytes | str | None) -> tuple[str, bytes | str]:
    found = [(encoding, value) for encoding, value in given.items() if value is not None]
    if len(found) != 1:
        raise TypeError("give one of `hex`, `base64` and `raw`")
    return found[0]


def _parts(message: Iterable[Part] | Part) -> list[_host.Part]:
    parts = [message] if isinstance(message, (bytes, str, Callback)) else list(message)
    return [_part(part) for part in parts]


def _part(part: Part) -> _host.Part:
    if isinstance(part, Callback):
        return part.raw
    return part.encode() if isinstance(part, str) else bytes(part)
