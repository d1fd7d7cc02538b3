"""What a plugin looks at: the callback and the execution."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol


class RawCallback(Protocol):
    """A callback as the host gives it; :class:`Callback` is what authors see."""

    def id(self) -> str: ...
    def received_at(self) -> int: ...
    def environment(self) -> str: ...
    def flow(self) -> str | None: ...
    def trigger(self) -> str | None: ...
    def remote_address(self) -> str | None: ...
    def method(self) -> str: ...
    def url(self) -> str: ...
    def path(self) -> str: ...
    def query(self, name: str) -> list[str]: ...
    def query_pairs(self) -> list[tuple[str, str]]: ...
    def header(self, name: str) -> str | None: ...
    def headers(self) -> list[tuple[str, str]]: ...
    def body_size(self) -> int: ...
    def body(self) -> bytes: ...
    def text(self) -> str: ...
    def claims(self) -> str | None: ...
    def data(self) -> str: ...
    def select(self, path: str) -> str: ...


class RawExecution(Protocol):
    """An execution as the host gives it."""

    def id(self) -> str: ...
    def flow(self) -> str: ...
    def environment(self) -> str: ...
    def scope(self) -> str: ...
    def select(self, path: str) -> str: ...


class Headers(Mapping[str, str]):
    """Headers by name, in any case; repeated ones are joined by ``, ``. One that is asked for is copied, no other."""

    def __init__(self, raw: RawCallback) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        value = self._raw.header(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._raw.headers()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def pairs(self) -> list[tuple[str, str]]:
        """All of them with names in lower case, in order, repeated ones repeated."""
        return [(name, value) for name, value in self._raw.headers()]


class Query(Mapping[str, str]):
    """Parameters of the query by name; of a repeated one the first."""

    def __init__(self, raw: RawCallback) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        values = self._raw.query(name)
        if not values:
            raise KeyError(name)
        return values[0]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._raw.query_pairs()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def all(self, name: str) -> list[str]:
        """Every value of a parameter, in order."""
        return list(self._raw.query(name))

    def pairs(self) -> list[tuple[str, str]]:
        """All of them, in order, repeated ones repeated."""
        return [(name, value) for name, value in self._raw.query_pairs()]


class Callback:
    """One received HTTP request. Its parts come into the plugin when they are asked for."""

    def __init__(self, raw: RawCallback) -> None:
        self.raw = raw

    @property
    def id(self) -> str:
        """A UUID, the same in logs, the API and the command line."""
        return self.raw.id()

    @property
    def received_at(self) -> datetime:
        """When the last byte was received, in UTC."""
        return datetime.fromtimestamp(self.raw.received_at() / 1000, UTC)

    @property
    def environment(self) -> str:
        """The name of the environment that it came into."""
        return self.raw.environment()

    @property
    def flow(self) -> str | None:
        """The name of the flow that it came for; ``None`` for a ticket without one."""
        return self.raw.flow()

    @property
    def trigger(self) -> str | None:
        """The id of the trigger that it came for; ``None`` for a ticket without a flow."""
        return self.raw.trigger()

    @property
    def remote_address(self) -> str | None:
        """The IP address that the request came from, were it a proxy's; ``None`` when it is not known any more."""
        return self.raw.remote_address()

    @property
    def method(self) -> str:
        """In upper case: ``GET``, ``POST``, …."""
        return self.raw.method()

    @property
    def url(self) -> str:
        """The absolute URL as the caller used it, with its query."""
        return self.raw.url()

    @property
    def path(self) -> str:
        """Percent-encoded as received, beginning with ``/``."""
        return self.raw.path()

    @cached_property
    def query(self) -> Query:
        """The parameters of the query, decoded."""
        return Query(self.raw)

    @cached_property
    def headers(self) -> Headers:
        """Without what carries credentials, which only a verifier sees."""
        return Headers(self.raw)

    @property
    def body_size(self) -> int:
        """The bytes of the body, without copying it."""
        return self.raw.body_size()

    @cached_property
    def body(self) -> bytes:
        """Exactly the bytes received."""
        return bytes(self.raw.body())

    @cached_property
    def text(self) -> str:
        """The body as text; ``not-text`` when it is not UTF-8."""
        return self.raw.text()

    @cached_property
    def claims(self) -> Any:
        """What the verifier learned of the sender; ``None`` when it says nothing."""
        claims = self.raw.claims()
        return None if claims is None else json.loads(claims)

    @cached_property
    def data(self) -> Any:
        """The parsed data; ``not-parsed`` in a verifier or a parser. Of a large body, :meth:`select` costs less."""
        return json.loads(self.raw.data())

    def select(self, path: str) -> list[Any]:
        """What a JSONPath (RFC 9535) selects in the data, in order of the document; ``invalid-path``."""
        return list(json.loads(self.raw.select(path)))

    def get(self, path: str, default: Any = None) -> Any:
        """The first value that a JSONPath selects, or ``default``."""
        found = self.select(path)
        return found[0] if found else default


class Execution:
    """One run of a flow."""

    def __init__(self, raw: RawExecution) -> None:
        self.raw = raw

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.raw.id()

    @property
    def flow(self) -> str:
        """The name of the flow."""
        return self.raw.flow()

    @property
    def environment(self) -> str:
        """The name of the environment that it runs in."""
        return self.raw.environment()

    @cached_property
    def scope(self) -> dict[str, Any]:
        """What expressions of the flow can see here: ``data``, ``fields``, ``triggers``, and each finished step's result."""
        scope: dict[str, Any] = json.loads(self.raw.scope())
        return scope

    def select(self, path: str) -> list[Any]:
        """What a JSONPath selects in the scope; ``invalid-path``."""
        return list(json.loads(self.raw.select(path)))

    def get(self, path: str, default: Any = None) -> Any:
        """The first value that a JSONPath selects, or ``default``."""
        found = self.select(path)
        return found[0] if found else default
