"""Requests to hosts that the operator has allowed for plugins (``plugin_http_hosts``)."""

from __future__ import annotations

import dataclasses
import json as _json
from collections.abc import Iterable, Mapping
from typing import Any

from . import _host
from ._values import to_json


@dataclasses.dataclass(frozen=True)
class Response:
    """The answer of another server."""

    status: int
    #: Names in lower case, in order.
    headers: list[tuple[str, str]]
    #: At most 1 MiB.
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body read as JSON."""
        return _json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for header, value in self.headers if header == name.lower()), None)


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | str | None = None,
    json: Any = None,
) -> Response:
    """Sends a request, and waits for the whole response; redirects are not followed.

    Raises ``host-not-allowed``, ``invalid-request``, ``too-large`` or, retryable, ``unreachable``.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if json is not None:
        body = to_json(json)
        pairs.append(("content-type", "application/json"))
    content = body.encode() if isinstance(body, str) else body
    return Response(*_host.current().send(method, url, pairs, content))
