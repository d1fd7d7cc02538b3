"""The functions that an author has decorated, and how they are called."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ._config import Mistake, Reader, reader
from ._values import Accepted, Decision, Failure, Rejected, Reply, to_json
from ._views import Callback, Execution

F = TypeVar("F", bound=Callable[..., Any])

_GIVEN = {
    "verifier": ("callback", "config"),
    "parser": ("callback", "config"),
    "condition": ("callback", "execution", "config"),
    "step": ("execution", "config"),
    "responder": ("callback", "execution", "config"),
}


@dataclasses.dataclass(frozen=True)
class Role:
    """A decorated function."""

    name: str
    function: Callable[..., Any]
    takes: tuple[str, ...]
    config: Reader | None


#: What the plugin does, by role.
roles: dict[str, Role] = {}


def verifier(function: F) -> F:
    """Proves who called: answers :class:`Accepted` or :class:`Rejected`. Takes ``callback`` and ``config``."""
    return _register("verifier", function)


def parser(function: F) -> F:
    """Turns the body into data: answers JSON. Takes ``callback`` and ``config``."""
    return _register("parser", function)


def condition(function: F) -> F:
    """Decides whether a callback counts: answers ``True``, ``False`` or a :class:`Decision` with its reason.

    Takes ``callback``, ``execution`` (``None`` at a trigger that starts executions) and ``config``.
    """
    return _register("condition", function)


def step(function: F) -> F:
    """Does one piece of work inside a flow: answers JSON. Takes ``execution`` and ``config``. It may run again."""
    return _register("step", function)


def responder(function: F) -> F:
    """Builds the answer to the caller: answers a :class:`Reply`. Takes ``callback``, ``execution`` and ``config``."""
    return _register("responder", function)


def _register(name: str, function: F) -> F:
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__name__} is `async`, and a {name} is a plain function")
    given = _GIVEN[name]
    takes = tuple(inspect.signature(function).parameters)
    for parameter in takes:
        if parameter not in given:
            known = ", ".join(f"`{known}`" for known in given)
            raise TypeError(f"{function.__name__} takes `{parameter}`; a {name} is given {known}, by these names")
    before = roles.get(name)
    if before is not None and (before.function.__module__, before.function.__qualname__) != (
        function.__module__,
        function.__qualname__,
    ):
        raise TypeError(f"{before.function.__name__} is this plugin's {name} already; {function.__name__} is a second")
    config = None
    if "config" in takes:
        annotation = typing.get_type_hints(function, include_extras=True).get("config", Any)
        try:
            config = reader(annotation)
        except TypeError as error:
            raise TypeError(f"the `config` of {function.__name__}: {error}") from None
    roles[name] = Role(name, function, takes, config)
    return function


def schema(name: str) -> dict[str, Any] | None:
    """The JSON Schema of a role's configuration."""
    role = roles.get(name)
    if role is None:
        return None
    if role.config is None:
        return {"type": ["null", "object"], "maxProperties": 0}
    accepts_nothing = _accepts(role.config, {}) and "type" in role.config.schema
    # A configuration that is absent is null: where nothing is needed, it is right.
    return {"anyOf": [role.config.schema, {"type": "null"}]} if accepts_nothing else role.config.schema


def _accepts(config: Reader, value: Any) -> bool:
    try:
        config.read(value, "")
    except Mistake:
        return False
    return True


def read_config(role: Role, value: Any) -> Any:
    """The configuration as the author's type; ``invalid-config`` with the place of the mistake."""
    try:
        if role.config is None:
            if value not in (None, {}):
                raise Mistake("", f"must be absent: {role.function.__name__} takes none")
            return None
        try:
            return role.config.read(value, "")
        except Mistake:
            # As in all of the SDKs, a missing configuration may also be an empty object.
            if value is None and _accepts(role.config, {}):
                return role.config.read({}, "")
            raise
    except Mistake as mistake:
        raise Failure("invalid-config", str(mistake), pointer=mistake.pointer) from None


def call(name: str, *, callback: Callback | None = None, execution: Execution | None = None, config: Any = None) -> Any:
    """Calls a role as the host does: whatever goes wrong is a :class:`Failure`, and the answer is of its type."""
    role = roles.get(name)
    if role is None:
        raise Failure("no-such-role", f"this plugin has no {name}")
    values = {"callback": callback, "execution": execution, "config": read_config(role, config)}
    try:
        answer = role.function(**{parameter: values[parameter] for parameter in role.takes})
        return _ANSWERS[name](role, answer)
    except Failure:
        raise
    except Exception as error:
        frames = _authors(error.__traceback__)
        trace = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        logging.getLogger("ringback").error(trace)
        raise Failure("exception", f"{_said(error)}{_place(frames)}") from error


def _said(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _authors(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the author's first frame on."""
    here = Path(__file__).parent
    while frames is not None and Path(frames.tb_frame.f_code.co_filename).parent == here:
        frames = frames.tb_next
    return frames


def _place(frames: TracebackType | None) -> str:
    if frames is None:
        return ""
    # The author's last frame: below it are libraries.
    first = frames.tb_frame.f_code.co_filename
    here = [frame for frame in traceback.extract_tb(frames) if Path(frame.filename).parent == Path(first).parent]
    last = here[-1]
    return f" ({Path(last.filename).name}:{last.lineno} in {last.name})"


def _wrong(role: Role, answer: Any, expected: str) -> Failure:
    text = repr(answer)
    shown = text if len(text) <= 80 else text[:79] + "…"
    return Failure("bad-answer", f"{role.function.__name__} answered {shown}, and a {role.name} answers {expected}")


def _verdict(role: Role, answer: Any) -> Accepted | Rejected:
    if not isinstance(answer, (Accepted, Rejected)):
        raise _wrong(role, answer, "Accepted(…) or Rejected(…)")
    return answer


def _decision(role: Role, answer: Any) -> Decision:
    if isinstance(answer, bool):
        return Decision(answer)
    if not isinstance(answer, Decision):
        raise _wrong(role, answer, "True, False or a Decision")
    return answer


def _json(role: Role, answer: Any) -> str:
    try:
        return to_json(answer)
    except (TypeError, ValueError) as error:
        raise _wrong(role, answer, f"what can be said in JSON ({error})") from None


def _reply(role: Role, answer: Any) -> Reply:
    if not isinstance(answer, Reply):
        raise _wrong(role, answer, "a Reply")
    return answer


_ANSWERS: dict[str, Callable[[Role, Any], Any]] = {
    "verifier": _verdict,
    "parser": _json,
    "condition": _decision,
    "step": _json,
    "responder": _reply,
}
