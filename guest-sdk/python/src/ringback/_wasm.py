"""Between componentize-py's bindings and the author's functions. Only the build imports it."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import componentize_py_types

from . import _host, _roles
from ._values import Accepted, Decision, Failure, Rejected, to_json
from ._views import Callback, Execution

T = TypeVar("T")

#: The text of `vectors.json`.
vectors = "[]"


def _bindings(name: str) -> Any:
    """A module of the world; one that the plugin did not import is not in it."""
    return importlib.import_module(f"wit_world.{name}")


_types = _bindings("imports.types")
_log = _bindings("imports.log")


def _optional(name: str) -> Any:
    try:
        return _bindings(f"imports.{name}")
    except ModuleNotFoundError:
        return None


_secrets, _state, _http = _optional("secrets"), _optional("state"), _optional("http")


class _Raising:
    """An object of the host whose errors are failures of ours."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._inner, name)
        return lambda *arguments: _asked(function, *arguments)


def _asked(function: Callable[..., T], *arguments: Any) -> T:
    try:
        return function(*arguments)
    except componentize_py_types.Err as error:
        found = error.value
        detail = None if found.detail is None else json.loads(found.detail)
        failure = Failure(found.code, found.message, retryable=found.retryable, pointer=found.pointer, detail=detail)
    raise failure


class _Host:
    """The real one."""

    def verify_mac(
        self, secret: str, form: str, algorithm: str, message: Sequence[Any], encoding: str, mac: bytes | str
    ) -> bool:
        key = getattr(_secrets.KeyForm, form.upper())
        hashed = getattr(_secrets.MacAlgorithm, f"HMAC_{algorithm.upper()}")
        return _asked(_secrets.verify_mac, secret, key, hashed, _parts(message), _encoded(encoding, mac))

    def verify_signature(
        self, key: str, algorithm: str, message: Sequence[Any], encoding: str, signature: bytes | str
    ) -> bool:
        signed = getattr(_secrets.SignatureAlgorithm, algorithm.upper().replace("-", "_"))
        return _asked(_secrets.verify_signature, key, signed, _parts(message), _encoded(encoding, signature))

    def equals(self, secret: str, value: bytes) -> bool:
        return _asked(_secrets.equals, secret, value)

    def get(self, key: str) -> bytes | None:
        return _asked(_state.get, key)

    def set(self, key: str, value: bytes) -> None:
        _asked(_state.set, key, value)

    def remove(self, key: str) -> None:
        _asked(_state.remove, key)

    def send(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        answer = _asked(_http.send, _http.Request(method, url, headers, body))
        return answer.status, list(answer.headers), bytes(answer.body)


def _parts(message: Sequence[Any]) -> list[Any]:
    # There is one callback in a call, and the host knows which.
    return [_secrets.Part_Bytes(part) if isinstance(part, bytes) else _secrets.Part_Body() for part in message]


def _encoded(encoding: str, value: bytes | str) -> Any:
    kinds = {"raw": "Encoded_Bytes", "hex": "Encoded_Hex", "base64": "Encoded_Base64"}
    return getattr(_secrets, kinds[encoding])(value)


class _Log(logging.Handler):
    """What is logged is a line of the trace."""

    def emit(self, record: logging.LogRecord) -> None:
        name = "DEBUG"
        for least, level in ((logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO")):
            if record.levelno >= least:
                name = level
                break
        _log.write(getattr(_log.Level, name), self.format(record))


def start() -> None:
    """Asks the real host from now on."""
    _host.enter(_Host())
    logging.basicConfig(handlers=[_Log()], level=logging.DEBUG, format="%(message)s", force=True)


def _call(role: str, callback: Any = None, execution: Any = None, config: str = "null") -> Any:
    try:
        return _roles.call(
            role,
            callback=None if callback is None else Callback(_Raising(callback)),
            execution=None if execution is None else Execution(_Raising(execution)),
            config=json.loads(config),
        )
    except Failure as failure:
        raise _err(failure) from None


def _err(failure: Failure) -> Exception:
    detail = None if failure.detail is None else to_json(failure.detail)
    found = _types.Failure(failure.code, failure.message, failure.retryable, failure.pointer, detail)
    error: Exception = componentize_py_types.Err(found)
    return error


class Verifier:
    def verify(self, callback: Any, config: str) -> Any:
        verdict = _call("verifier", callback, None, config)
        exported = _bindings("exports.verifier")
        if isinstance(verdict, Rejected):
            return exported.Verdict_Rejected(verdict.reason)
        assert isinstance(verdict, Accepted)
        claims = None if verdict.claims is None else to_json(verdict.claims)
        return exported.Verdict_Accepted(exported.Proof(verdict.delivery_id, verdict.subject, claims))


class Parser:
    def parse(self, callback: Any, config: str) -> Any:
        return _call("parser", callback, None, config)


class Condition:
    def evaluate(self, callback: Any, execution: Any, config: str) -> Any:
        decision: Decision = _call("condition", callback, execution, config)
        return _bindings("exports.condition").Decision(decision.holds, decision.reason)


class Step:
    def run(self, execution: Any, config: str) -> Any:
        return _call("step", None, execution, config)


class Responder:
    def respond(self, callback: Any, execution: Any, config: str) -> Any:
        reply = _call("responder", callback, execution, config)
        return _bindings("exports.responder").Reply(reply.status, reply.header_pairs(), reply.body)


class Configurable:
    def schema(self, role: str) -> str | None:
        schema = _roles.schema(role)
        return None if schema is None else to_json(schema)

    def check(self, role: str, config: str) -> None:
        found = _roles.roles.get(role)
        if found is None:
            return
        try:
            _roles.read_config(found, json.loads(config))
        except Failure as failure:
            raise _err(failure) from None


class Vectors:
    def cases(self) -> str:
        return vectors
