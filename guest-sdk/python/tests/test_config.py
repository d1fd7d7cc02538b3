"""What a configuration is read as, and what is said of one that does not fit."""

import dataclasses
import enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from ringback._config import Mistake, reader


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rule(TypedDict):
    path: str
    weight: NotRequired[float]


@dataclasses.dataclass
class Config:
    """What the flow gives."""

    minimum: Annotated[float, "The least total."]
    rules: list[Rule] = dataclasses.field(default_factory=list)
    mode: Literal["any", "all"] = "all"
    colour: Colour | None = None
    tags: dict[str, int] = dataclasses.field(default_factory=dict)
    anything: Any = None

    def __post_init__(self) -> None:
        if self.minimum < 0:
            raise ValueError("a minimum is not negative")


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        (None, "", "the configuration must be an object, and is null"),
        ({}, "/minimum", "`minimum` is missing"),
        ({"minimum": "1"}, "/minimum", "`minimum` must be a number, and is text"),
        ({"minimum": True}, "/minimum", "`minimum` must be a number, and is true or false"),
        ({"minimum": -1}, "", "the configuration is refused: a minimum is not negative"),
        (
            {"minimum": 1, "rule": []},
            "/rule",
            "`rule` is unknown; known are minimum, rules, mode, colour, tags, anything",
        ),
        ({"minimum": 1, "rules": {}}, "/rules", "`rules` must be a list, and is an object"),
        ({"minimum": 1, "rules": [{"path": "$"}, {}]}, "/rules/1/path", "`rules.1.path` is missing"),
        (
            {"minimum": 1, "rules": [{"path": "$", "weight": "x"}]},
            "/rules/0/weight",
            "`rules.0.weight` must be a number",
        ),
        ({"minimum": 1, "mode": "one"}, "/mode", "`mode` must be one of any, all"),
        ({"minimum": 1, "colour": "green"}, "/colour", "`colour` must be one of red, blue"),
        ({"minimum": 1, "tags": {"a/b": 1.5}}, "/tags/a~1b", "`tags.a/b` must be a whole number, and is a number"),
    ],
)
def test_mistakes_have_a_place(value: Any, pointer: str, says: str) -> None:
    with pytest.raises(Mistake) as mistake:
        reader(Config).read(value, "")
    assert mistake.value.pointer == pointer
    assert str(mistake.value).startswith(says)


def test_values_are_of_their_types() -> None:
    given = {
        "minimum": 1,
        "rules": [{"path": "$.a", "weight": 2}],
        "colour": "red",
        "tags": {"a": 3.0},
        "anything": [1],
    }
    config = reader(Config).read(given, "")
    assert config == Config(1.0, [{"path": "$.a", "weight": 2.0}], "all", Colour.RED, {"a": 3}, [1])
    assert isinstance(config.minimum, float) and isinstance(config.tags["a"], int)


def test_the_schema_says_the_same() -> None:
    schema = reader(Config).schema
    assert schema["description"] == "What the flow gives."
    assert (schema["required"], schema["additionalProperties"]) == (["minimum"], False)
    assert schema["properties"] == {
        "minimum": {"type": "number", "description": "The least total."},
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "weight": {"type": "number"}},
                "required": ["path"],
                "additionalProperties": False,
            },
        },
        "mode": {"enum": ["any", "all"], "default": "all"},
        "colour": {"anyOf": [{"enum": ["red", "blue"]}, {"type": "null"}]},
        "tags": {"type": "object", "additionalProperties": {"type": "integer"}},
        "anything": {},
    }


@dataclasses.dataclass
class Nested:
    inner: "Nested | None" = None


@pytest.mark.parametrize(
    ("annotation", "says"),
    [(set[str], "set"), (bytes, "bytes"), (dict[int, str], "whose names are `str`"), (Nested, "contains itself")],
)
def test_what_json_has_not_is_no_configuration(annotation: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        reader(annotation)
