"""Reads a flow's ``with:`` as the type that an author wrote, and says that type as JSON Schema."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Mistake(ValueError):
    """A value that is not of its type, and where it stands (RFC 6901)."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.message = message

    def __str__(self) -> str:
        place = self.pointer.removeprefix("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
        return f"`{place}` {self.message}" if place else f"the configuration {self.message}"


@dataclasses.dataclass(frozen=True)
class Reader:
    """How a type is read from JSON, and its schema."""

    schema: dict[str, Any]
    read: Callable[[Any, str], Any]


def reader(annotation: Any) -> Reader:
    """The reader of a type; a ``TypeError`` names a type that JSON cannot be read as."""
    return _reader(annotation, ())


def _reader(annotation: Any, around: tuple[Any, ...]) -> Reader:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is object:
        return Reader({}, lambda value, pointer: value)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is typing.Annotated:
        return _described(_reader(arguments[0], around), arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return _union([_reader(argument, around) for argument in arguments])
    if origin is typing.Literal:
        return _choice(list(arguments), lambda value: value)
    if annotation is list or origin in (list, Sequence):
        return _list(_reader(arguments[0] if arguments else Any, around))
    if annotation is dict or origin in (dict, Mapping):
        if arguments and arguments[0] is not str:
            raise TypeError(f"{annotation} cannot be read from JSON, whose names are `str`")
        return _mapping(_reader(arguments[1] if arguments else Any, around))
    if inspect.isclass(annotation) and annotation in around:
        raise TypeError(f"{annotation.__name__} contains itself; take `dict` for the inner one")
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return _choice([member.value for member in annotation], annotation)
    if typing.is_typeddict(annotation):
        return _typed_dict(annotation, (*around, annotation))
    if dataclasses.is_dataclass(annotation) and inspect.isclass(annotation):
        return _dataclass(annotation, (*around, annotation))
    raise TypeError(f"{_name(annotation)} cannot be read from JSON; take a dataclass, a TypedDict or a built-in type")


def _name(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _plain(schema_type: str, words: str, fits: Callable[[Any], bool], make: Callable[[Any], Any]) -> Reader:
    def read(value: Any, pointer: str) -> Any:
        if not fits(value):
            raise Mistake(pointer, f"must be {words}, and is {_kind(value)}")
        return make(value)

    return Reader({"type": schema_type}, read)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return kinds.get(type(value), "an object")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_PLAIN: dict[Any, Reader] = {
    bool: _plain("boolean", "true or false", lambda value: isinstance(value, bool), bool),
    int: _plain("integer", "a whole number", lambda value: _is_number(value) and value == int(value), int),
    float: _plain("number", "a number", _is_number, float),
    str: _plain("string", "text", lambda value: isinstance(value, str), str),
    type(None): _plain("null", "null", lambda value: value is None, lambda value: value),
    None: _plain("null", "null", lambda value: value is None, lambda value: value),
}


def _described(inner: Reader, extras: Sequence[Any]) -> Reader:
    texts = [extra for extra in extras if isinstance(extra, str)]
    return Reader({**inner.schema, "description": texts[0]}, inner.read) if texts else inner


def _union(readers: list[Reader]) -> Reader:
    def read(value: Any, pointer: str) -> Any:
        mistakes = []
        for candidate in readers:
            try:
                return candidate.read(value, pointer)
            except Mistake as mistake:
                mistakes.append(mistake)
        # The one that went deepest is about the type that was meant.
        raise max(mistakes, key=lambda mistake: len(mistake.pointer))

    return Reader({"anyOf": [candidate.schema for candidate in readers]}, read)


def _choice(values: list[Any], make: Callable[[Any], Any]) -> Reader:
    def read(value: Any, pointer: str) -> Any:
        # 1 is equal to True in Python and to nothing else in JSON.
        if not any(value == allowed and type(value) is type(allowed) for allowed in values):
            raise Mistake(pointer, f"must be one of {', '.join(map(str, values))}")
        return make(value)

    return Reader({"enum": values}, read)


def _list(item: Reader) -> Reader:
    def read(value: Any, pointer: str) -> Any:
        if not isinstance(value, list):
            raise Mistake(pointer, f"must be a list, and is {_kind(value)}")
        return [item.read(element, f"{pointer}/{index}") for index, element in enumerate(value)]

    return Reader({"type": "array", "items": item.schema}, read)


def _mapping(item: Reader) -> Reader:
    def read(value: Any, pointer: str) -> Any:
        members = _object(value, pointer)
        return {name: item.read(member, _below(pointer, name)) for name, member in members.items()}

    return Reader({"type": "object", "additionalProperties": item.schema}, read)


def _object(value: Any, pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mistake(pointer, f"must be an object, and is {_kind(value)}")
    return value


def _below(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _members(readers: dict[str, Reader], required: list[str]) -> Callable[[Any, str], dict[str, Any]]:
    def read(value: Any, pointer: str) -> dict[str, Any]:
        members = _object(value, pointer)
        for name in members:
            if name not in readers:
                raise Mistake(_below(pointer, name), f"is unknown; known are {', '.join(readers) or 'no names'}")
        for name in required:
            if name not in members:
                raise Mistake(_below(pointer, name), "is missing")
        return {name: readers[name].read(member, _below(pointer, name)) for name, member in members.items()}

    return read


def _schema(cls: type, readers: dict[str, Reader], required: list[str]) -> dict[str, Any]:
    properties = {name: inner.schema for name, inner in readers.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    text = inspect.cleandoc(cls.__doc__ or "")
    # What a dataclass writes itself is its signature.
    if text and not text.startswith(f"{cls.__name__}("):
        schema["description"] = text
    return schema


def _typed_dict(cls: Any, around: tuple[Any, ...]) -> Reader:
    hints = typing.get_type_hints(cls, include_extras=True)
    readers = {name: _reader(_unwrapped(hint), around) for name, hint in hints.items()}
    required = [name for name in hints if name in cls.__required_keys__]
    return Reader(_schema(cls, readers, required), _members(readers, required))


def _unwrapped(hint: Any) -> Any:
    while typing.get_origin(hint) in (typing.Required, typing.NotRequired):
        hint = typing.get_args(hint)[0]
    return hint


def _dataclass(cls: Any, around: tuple[Any, ...]) -> Reader:
    hints = typing.get_type_hints(cls, include_extras=True)
    readers, required = {}, []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        inner = _reader(hints[field.name], around)
        if field.default is not dataclasses.MISSING and isinstance(field.default, (bool, int, float, str)):
            inner = Reader({**inner.schema, "default": field.default}, inner.read)
        readers[field.name] = inner
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    members = _members(readers, required)

    def read(value: Any, pointer: str) -> Any:
        found = members(value, pointer)
        try:
            return cls(**found)
        except Mistake:
            raise
        except ValueError as error:
            # What `__post_init__` refuses.
            raise Mistake(pointer, f"is refused: {error}") from error

    return Reader(_schema(cls, readers, required), read)
