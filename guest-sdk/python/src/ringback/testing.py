"""What stands in for the host in tests: callbacks, executions, secrets, state and answers, all in memory.

>>> from ringback import secrets, testing
>>> with testing.Host(secrets={"TOKEN": "open sesame"}):
...     secrets.equals("TOKEN", "open sesame")
True
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import _host, _roles
from ._values import Accepted, Decision, Failure, Rejected, Reply
from ._views import Callback, Execution
from .http import Response

#: 2026-01-01T00:00:00Z, when every callback of a test is received.
NOW = 1_767_225_600_000

_UNSET: Any = object()


def callback(
    data: Any = _UNSET,
    *,
    method: str = "POST",
    url: str = "https://example.test/h/key",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | str | None = None,
    flow: str | None = "test",
    trigger: str | None = "hook",
    environment: str = "default",
    remote_address: str | None = "192.0.2.1",
    claims: Any = None,
    received_at: int = NOW,
) -> Callback:
    """A callback. ``data`` is what the body was parsed into; of the two, what is not given is made of the other one."""
    if body is None:
        content = b"" if data is _UNSET else json.dumps(data).encode()
    else:
        content = body.encode() if isinstance(body, str) else body
        if data is _UNSET:
            with contextlib.suppress(ValueError):
                data = json.loads(content)
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    raw = _RawCallback()
    raw.values = {
        "flow": flow,
        "trigger": trigger,
        "environment": environment,
        "remote_address": remote_address,
        "claims": None if claims is None else json.dumps(claims),
        "received_at": received_at,
        "method": method,
        "url": url,
    }
    raw.pairs = [(name.lower(), value) for name, value in pairs]
    raw.content, raw.parsed = content, data
    return Callback(raw)


def execution(
    scope: Mapping[str, Any] | None = None,
    *,
    id: str = "0190d6f0-0000-7000-8000-000000000002",
    flow: str = "test",
    environment: str = "default",
) -> Execution:
    """An execution with what its expressions can see, such as ``{"data": {…}}``."""
    raw = _RawExecution()
    raw.values = {"id": id, "flow": flow, "environment": environment}
    raw.seen = dict(scope or {})
    return Execution(raw)


def config(function: Callable[..., Any], with_: Any) -> Any:
    """A flow's ``with:`` as the host reads it for a role; ``invalid-config`` as the flow's author sees it."""
    role = next((role for role in _roles.roles.values() if role.function is function), None)
    if role is None:
        raise TypeError(f"{function.__name__} has no role; decorate it")
    return _roles.read_config(role, with_)


class Host:
    """Secrets, state and answers; use it as a context (``with testing.Host(…):``)."""

    def __init__(
        self,
        *,
        secrets: Mapping[str, bytes | str] | None = None,
        state: Mapping[str, bytes | str] | None = None,
        http: Callable[[str, str, list[tuple[str, str]], bytes | None], Response] | None = None,
        signatures: bool | None = None,
    ) -> None:
        #: Values by name.
        self.secrets = {name: _bytes(value) for name, value in (secrets or {}).items()}
        #: Values by key.
        self.state = {key: _bytes(value) for key, value in (state or {}).items()}
        self._http, self._signatures = http, signatures

    def __enter__(self) -> Host:
        _host.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _host.leave()

    def verify_mac(
        self,
        secret: str,
        form: str,
        algorithm: str,
        message: Sequence[_host.Part],
        encoding: str,
        mac: bytes | str,
    ) -> bool:
        """As the host does."""
        key = self._key(secret, form)
        content = b"".join(part if isinstance(part, bytes) else part.body() for part in message)
        given = mac if isinstance(mac, bytes) else _decoded(mac, encoding)
        expected = hmac.digest(key, content, getattr(hashlib, algorithm))
        return given is not None and hmac.compare_digest(expected, given)

    def verify_signature(
        self,
        key: str,
        algorithm: str,
        message: Sequence[_host.Part],
        encoding: str,
        signature: bytes | str,
    ) -> bool:
        """What the test said: keys are checked by the real host only."""
        self._secret(key)
        if self._signatures is None:
            raise Failure("not-available", "signatures are checked by the host; give testing.Host(signatures=…)")
        return self._signatures

    def equals(self, secret: str, value: bytes) -> bool:
        """As the host does."""
        return hmac.compare_digest(self._secret(secret), value)

    def get(self, key: str) -> bytes | None:
        """As the host does."""
        _fits(key)
        return self.state.get(key)

    def set(self, key: str, value: bytes) -> None:
        """As the host does."""
        _fits(key, value)
        if len(self.state) >= 10_000 and key not in self.state:
            raise Failure("too-many-keys", "a plugin has at most 10,000 keys")
        self.state[key] = value

    def remove(self, key: str) -> None:
        """As the host does."""
        _fits(key)
        self.state.pop(key, None)

    def send(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the test answers."""
        if self._http is None:
            raise Failure("host-not-allowed", "this test answers no requests; give testing.Host(http=…)")
        answer = self._http(method, url, headers, body)
        return answer.status, answer.headers, answer.body

    def _secret(self, name: str) -> bytes:
        if name not in self.secrets:
            raise Failure("unknown-secret", f"there is no secret named {name}")
        return self.secrets[name]

    def _key(self, name: str, form: str) -> bytes:
        value = self._secret(name)
        if form == "plain":
            return value
        key = _decoded(value.decode("latin-1"), form)
        if key is None:
            raise Failure("invalid-key", f"the secret {name} is not in {form}")
        return key


def cases(path: str | Path = "vectors.json") -> list[dict[str, Any]]:
    """The test vectors of a file, which the host runs when the plugin is uploaded. For ``pytest.mark.parametrize``."""
    found: list[dict[str, Any]] = json.loads(Path(path).read_text("utf-8"))
    return found


def check(case: Mapping[str, Any]) -> None:
    """Runs one test vector here; an ``AssertionError`` says what differs."""
    __tracebackhide__ = True  # pytest shows the line of the test
    answers = iter(case.get("http", []))

    def answer(method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> Response:
        given = next(answers, None)
        if given is None:
            raise Failure("host-not-allowed", "the case answers no more requests")
        assert given.get("url", url) == url, f"a request went to {url}"
        pairs = [(name.lower(), value) for name, value in given.get("headers", {}).items()]
        return Response(given.get("status", 200), pairs, _content(given))

    role = case["role"]
    given_callback = None if role == "step" else _case_callback(case)
    given_execution = None
    if "execution" in case or role == "step":
        given_execution = execution(**case.get("execution", {}))
    host = Host(secrets=case.get("secrets", {}), state=case.get("state", {}), http=answer)
    with host:
        try:
            outcome = _roles.call(role, callback=given_callback, execution=given_execution, config=case.get("config"))
        except Failure as failure:
            outcome = failure
    difference = _difference(outcome, case["expect"])
    assert difference is None, f"{case['name']}: {difference}"


def _case_callback(case: Mapping[str, Any]) -> Callback:
    given = dict(case.get("callback", {}))
    content = _content(given)
    for name in ("body", "body_base64"):
        given.pop(name, None)
    if "data" in case:
        given["data"] = case["data"]
    made = callback(body=content, received_at=case.get("now", NOW), **given)
    if case["role"] in ("verifier", "parser"):
        raw = made.raw
        assert isinstance(raw, _RawCallback)
        raw.parsed = _UNSET
    return made


def _content(given: Mapping[str, Any]) -> bytes:
    if "body_base64" in given:
        return base64.b64decode(given["body_base64"])
    body = given.get("body", "")
    return body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()


def _difference(outcome: Any, expect: Mapping[str, Any]) -> str | None:
    found: Any
    if isinstance(outcome, Failure):
        found = {"failure": outcome.code}
        if "failure" not in expect:
            return f"expected {dict(expect)}, and it failed: {outcome}"
    elif isinstance(outcome, Rejected):
        found = {"rejected": outcome.reason}
    elif isinstance(outcome, Accepted):
        found = {"accepted": vars(outcome)}
    elif isinstance(outcome, Decision):
        found = {"holds": outcome.holds, "reason": outcome.reason or ""}
    elif isinstance(outcome, Reply):
        headers = {name.lower(): value for name, value in outcome.header_pairs()}
        body = outcome.body.decode("utf-8", "replace")
        encoded = base64.b64encode(outcome.body).decode()
        found = {"reply": {"status": outcome.status, "headers": headers, "body": body, "body_base64": encoded}}
    else:
        found = {kind: json.loads(outcome) for kind in ("data", "result")}
    for kind, expected in expect.items():
        if not _fits_expected(kind, found.get(kind), expected):
            return f"expected {kind} {expected!r}, and it is {found.get(kind, found)!r}"
    return None


def _fits_expected(kind: str, found: Any, expected: Any) -> bool:
    if kind in ("rejected", "reason"):
        return isinstance(found, str) and (expected is True or expected in found)
    if kind == "accepted":
        return isinstance(found, dict) and all(found.get(name) == value for name, value in expected.items())
    if kind == "reply":
        if not isinstance(found, dict):
            return False
        names = {name.lower(): value for name, value in expected.get("headers", {}).items()}
        parts = {name: value for name, value in expected.items() if name != "headers"}
        return all(found[name] == value for name, value in parts.items()) and names.items() <= found["headers"].items()
    return bool(found == expected)


class _RawCallback:
    values: dict[str, Any]
    pairs: list[tuple[str, str]]
    content: bytes
    parsed: Any

    def id(self) -> str:
        return "0190d6f0-0000-7000-8000-000000000001"

    def received_at(self) -> int:
        return int(self.values["received_at"])

    def environment(self) -> str:
        return str(self.values["environment"])

    def flow(self) -> str | None:
        return self._text("flow")

    def trigger(self) -> str | None:
        return self._text("trigger")

    def remote_address(self) -> str | None:
        return self._text("remote_address")

    def claims(self) -> str | None:
        return self._text("claims")

    def _text(self, name: str) -> str | None:
        value: str | None = self.values[name]
        return value

    def method(self) -> str:
        return str(self.values["method"])

    def url(self) -> str:
        return str(self.values["url"])

    def path(self) -> str:
        return urlsplit(self.url()).path or "/"

    def query(self, name: str) -> list[str]:
        return [value for key, value in self.query_pairs() if key == name]

    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.url()).query, keep_blank_values=True)

    def header(self, name: str) -> str | None:
        values = [value for header, value in self.pairs if header == name.lower()]
        return ", ".join(values) if values else None

    def headers(self) -> list[tuple[str, str]]:
        return list(self.pairs)

    def body_size(self) -> int:
        return len(self.content)

    def body(self) -> bytes:
        return self.content

    def text(self) -> str:
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            raise Failure("not-text", "the body is not UTF-8") from None

    def data(self) -> str:
        if self.parsed is _UNSET:
            raise Failure("not-parsed", "the body has not been parsed yet")
        return json.dumps(self.parsed)

    def select(self, path: str) -> str:
        return _select(json.loads(self.data()), path)


class _RawExecution:
    values: dict[str, str]
    seen: dict[str, Any]

    def id(self) -> str:
        return self.values["id"]

    def flow(self) -> str:
        return self.values["flow"]

    def environment(self) -> str:
        return self.values["environment"]

    def scope(self) -> str:
        return json.dumps(self.seen)

    def select(self, path: str) -> str:
        return _select(self.seen, path)


def _select(value: Any, path: str) -> str:
    try:
        import jsonpath_rfc9535 as jsonpath
    except ModuleNotFoundError:
        raise RuntimeError("JSONPaths in tests need a library: pip install 'ringback-plugin[test]'") from None
    try:
        return json.dumps(jsonpath.find(path, value).values())
    except jsonpath.JSONPathError as error:
        raise Failure("invalid-path", str(error)) from None


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _fits(key: str, value: bytes = b"") -> None:
    if not 1 <= len(key.encode()) <= 256 or len(value) > 64 * 1024:
        raise Failure("too-large", "a key has 1 to 256 bytes, a value at most 64 KiB")


def _decoded(text: str, encoding: str) -> bytes | None:
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        plain = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
