"""UN/EDIFACT (ISO 9735, syntax versions 1 to 4) becomes JSON: the interchange, its messages, their segments."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Annotated, Any

import ringback
from ringback import Callback, Failure

#: A segment: its tag, and its elements with their components.
Segment = tuple[str, list[list[str]]]

_CHARSETS = {"UNOA": "ascii", "UNOB": "ascii", "UNOC": "iso-8859-1", "UNOY": "utf-8", "UNOW": "utf-8"}


@dataclasses.dataclass
class Config:
    """What the flow gives in `with:`."""

    types: Annotated[list[str], "The message types that are taken, such as ORDERS; all when it is empty."] = (
        dataclasses.field(default_factory=list)
    )
    charset: Annotated[str | None, "The character set; that of the interchange's syntax identifier when absent."] = None

    def __post_init__(self) -> None:
        if self.charset is not None:
            try:
                "".encode(self.charset)
            except LookupError:
                raise ValueError(f"there is no character set {self.charset}") from None


@ringback.parser
def edifact(callback: Callback, config: Config) -> dict[str, Any]:
    text = _decoded(callback.body, config.charset)
    segments = list(_segments(text))
    if not segments or segments[0][0] != "UNB":
        raise Failure("no-interchange", "it does not begin with UNB")
    if segments[-1][0] != "UNZ":
        raise Failure("cut-off", f"it ends with {segments[-1][0]} and not with UNZ")
    header, trailer = segments[0][1], segments[-1][1]
    reference = _at(header, 4, 0)
    if _at(trailer, 1, 0) != reference:
        raise Failure("wrong-reference", f"UNZ has the reference {_at(trailer, 1, 0)!r}, and UNB {reference!r}")
    messages = list(_messages(segments[1:-1]))
    if _at(trailer, 0, 0) != str(len(messages)):
        raise Failure("wrong-count", f"UNZ says {_at(trailer, 0, 0)} messages, and there are {len(messages)}")
    for message in messages:
        if config.types and message["type"] not in config.types:
            raise Failure("unexpected-type", f"a message is {message['type']}, and {', '.join(config.types)} is taken")
    return {
        "sender": _at(header, 1, 0),
        "recipient": _at(header, 2, 0),
        "prepared_at": _time(header),
        "reference": reference,
        "test": _at(header, 10, 0) == "1",
        "messages": messages,
    }


def _decoded(body: bytes, charset: str | None) -> str:
    if charset is None:
        head = body[:60].decode("ascii", "replace")
        found = head.partition("UNB")[2][1:5]
        charset = _CHARSETS.get(found, "iso-8859-1")
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise Failure("wrong-charset", f"the byte at {error.start} is no {charset}") from None


def _segments(text: str) -> Iterator[Segment]:
    component, element, release, terminator = ":", "+", "?", "'"
    if text.startswith("UNA"):
        if len(text) < 9:
            raise Failure("cut-off", "UNA is cut off")
        component, element, release, terminator = text[3], text[4], text[6], text[8]
        text = text[9:]
    # Whole words at a time: character by character, a large interchange would take more time than a call has.
    marks = {component, element, terminator} | ({release} if release != " " else set())
    special = "".join(map(re.escape, marks))
    current: list[list[str]] = [[""]]
    released = False
    for found in re.finditer(f"[^{special}]+|[{special}]", text):
        word = found.group()
        if released or word[0] not in marks:
            # Lines between segments are for people.
            current[-1][-1] += word if released or current != [[""]] else word.lstrip("\r\n")
            released = False
        elif word == release:
            released = True
        elif word == component:
            current[-1].append("")
        elif word == element:
            current.append([""])
        else:
            yield current[0][0], current[1:]
            current = [[""]]
    if released or current[0][0].strip() or len(current) > 1:
        raise Failure("cut-off", f"the last segment, {current[0][0]!r}, has no end")


def _messages(segments: list[Segment]) -> Iterator[dict[str, Any]]:
    message: dict[str, Any] | None = None
    for tag, elements in segments:
        match tag:
            case "UNG" | "UNE":
                # Groups are an envelope that adds nothing to their messages.
                continue
            case "UNH" if message is None:
                kind = elements[1] if len(elements) > 1 else [""]
                message = {"reference": _at(elements, 0, 0), "type": kind[0], "version": ":".join(kind[1:]), "segments": []}
            case "UNT" if message is not None:
                if _at(elements, 1, 0) != message["reference"]:
                    raise Failure("wrong-reference", f"UNT does not have the reference of UNH, {message['reference']!r}")
                count = len(message["segments"]) + 2
                if _at(elements, 0, 0) != str(count):
                    raise Failure("wrong-count", f"UNT says {_at(elements, 0, 0)} segments, and there are {count}")
                yield message
                message = None
            case _ if message is not None:
                message["segments"].append({"tag": tag, "elements": elements})
            case _:
                raise Failure("no-message", f"{tag} is outside of a message")
    if message is not None:
        raise Failure("cut-off", f"the message {message['reference']!r} has no UNT")


def _at(elements: list[list[str]], element: int, component: int) -> str:
    return elements[element][component] if len(elements) > element and len(elements[element]) > component else ""


def _time(header: list[list[str]]) -> str | None:
    date, time = _at(header, 3, 0), _at(header, 3, 1)
    if len(date) == 6:
        date = "20" + date
    if len(date) != 8 or len(time) < 4 or not (date + time).isdigit():
        return None
    return f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}"
