"""What roles answer with, and why they cannot."""

from __future__ import annotations

import dataclasses
import json as _json
from collections.abc import Iterable, Mapping
from typing import Any


class Failure(Exception):
    """Why a plugin could not do its work; it ends the callback with an error status.

    A failure is no decision: a condition that does not hold answers ``False``, a verifier that finds a wrong signature
    answers :class:`Rejected`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        pointer: str | None = None,
        detail: Any = None,
    ) -> None:
        super().__init__(message)
        #: A stable code in kebab-case, such as ``no-total``.
        self.code = code
        #: One sentence for the operator; the caller never sees it.
        self.message = message
        #: Whether the same call may succeed later without any change.
        self.retryable = retryable
        #: The place in the configuration that it is about, such as ``/rules/0/path`` (RFC 6901).
        self.pointer = pointer
        #: More for whoever looks into it, as JSON.
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A verifier's word that the callback is genuine."""

    #: The sender's id of this delivery, the same when it is sent again.
    delivery_id: str | None = None
    #: Who sent it, for the trace.
    subject: str | None = None
    #: What else the proof says of the sender, as JSON.
    claims: Any = None


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A verifier's word that the callback is not genuine. The reason is for the trace: the caller only sees 401."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Decision:
    """A condition's answer with its reason, which ``ringback callback explain`` shows."""

    holds: bool
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    #: 200 to 599.
    status: int = 200
    body: bytes = b""
    #: Framing headers (``content-length``, …) are the host's to set.
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()

    @classmethod
    def text(cls, text: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """An answer in plain text."""
        return cls(status, text.encode(), {"content-type": "text/plain; charset=utf-8", **(headers or {})})

    @classmethod
    def json(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """An answer in JSON."""
        return cls(status, to_json(value).encode(), {"content-type": "application/json", **(headers or {})})

    def header_pairs(self) -> list[tuple[str, str]]:
        """The headers, one after the other."""
        return list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)


def to_json(value: Any) -> str:
    """JSON text; a ``TypeError`` or ``ValueError`` for what JSON has not, such as NaN."""
    return _json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
