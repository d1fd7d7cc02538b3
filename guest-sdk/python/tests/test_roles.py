"""What decorators accept, and what becomes of what functions do."""

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import ringback
from ringback import Accepted, Callback, Decision, Failure, Rejected, Reply, _roles, testing


@pytest.fixture(autouse=True)
def no_roles() -> Iterator[None]:
    before = dict(_roles.roles)
    _roles.roles.clear()
    yield
    _roles.roles.clear()
    _roles.roles.update(before)


@dataclasses.dataclass
class Config:
    minimum: float = 100


def test_a_wrong_function_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(TypeError, match="`extra`; a condition is given `callback`, `execution`, `config`"):
        ringback.condition(lambda callback, extra: True)
    with pytest.raises(TypeError, match="`callback`; a step is given `execution`, `config`"):
        ringback.step(lambda callback: 1)

    async def later(callback: Callback) -> bool:
        return True

    with pytest.raises(TypeError, match="later is `async`"):
        ringback.condition(later)

    def sets(config: set[str]) -> bool:
        return True

    with pytest.raises(TypeError, match="the `config` of sets: .*cannot be read from JSON"):
        ringback.condition(sets)

    @ringback.condition
    def one() -> bool:
        return True

    def two() -> bool:
        return True

    with pytest.raises(TypeError, match="one is this plugin's condition already; two is a second"):
        ringback.condition(two)


def test_a_function_takes_what_it_names_and_stays_a_function() -> None:
    @ringback.condition
    def large(config: Config, callback: Callback) -> bool:
        return bool(callback.get("$.total", 0) >= config.minimum)

    assert large(Config(1), testing.callback({"total": 1})) is True
    answer = _roles.call("condition", callback=testing.callback({"total": 99}), config={"minimum": 99.5})
    assert answer == Decision(False)
    absents: tuple[Any, ...] = (None, {})
    for absent in absents:
        assert _roles.call("condition", callback=testing.callback({"total": 100}), config=absent) == Decision(True)
    with pytest.raises(Failure) as failure:
        testing.config(large, {"minimum": "x"})
    assert (failure.value.code, failure.value.pointer) == ("invalid-config", "/minimum")


def test_a_configuration_where_there_is_none_is_refused() -> None:
    @ringback.parser
    def parse(callback: Callback) -> str:
        return callback.text

    assert _roles.call("parser", callback=testing.callback(body="é"), config={}) == '"é"'
    with pytest.raises(Failure, match="invalid-config: the configuration must be absent: parse takes none"):
        _roles.call("parser", callback=testing.callback(), config={"a": 1})


def test_an_exception_has_its_message_its_place_and_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    @ringback.step
    def broken(config: dict[str, int]) -> int:
        return config["total"]

    with caplog.at_level(logging.DEBUG), pytest.raises(Failure) as failure:
        _roles.call("step", execution=testing.execution(), config={})
    assert failure.value.code == "exception"
    assert failure.value.message.startswith("KeyError: 'total' (test_roles.py:")
    assert failure.value.message.endswith(" in broken)")
    logged = caplog.records[-1].getMessage()
    assert logged.startswith("Traceback (most recent call last):")
    assert 'return config["total"]' in logged and "_roles.py" not in logged.replace("test_roles.py", "")


def test_the_place_is_the_authors_and_not_a_librarys() -> None:
    @ringback.parser
    def parse(callback: Callback) -> Any:
        import json

        return json.loads(callback.text)

    with pytest.raises(
        Failure, match=r"exception: JSONDecodeError: Expecting value: .* \(test_roles.py:\d+ in parse\)"
    ):
        _roles.call("parser", callback=testing.callback(body="no JSON"))


@pytest.mark.parametrize(
    ("role", "answer", "says"),
    [
        ("condition", None, "answered None, and a condition answers True, False or a Decision"),
        ("condition", 1, "answered 1, and"),
        ("verifier", True, "a verifier answers Accepted"),
        ("parser", float("nan"), "a parser answers what can be said in JSON"),
        ("step", {1, 2}, "a step answers what can be said in JSON"),
        ("responder", "text", "answered 'text', and a responder answers a Reply"),
        ("condition", "x" * 1000, "x…, and a condition"),
    ],
)
def test_an_answer_of_another_type_is_a_failure_that_says_so(role: str, answer: Any, says: str) -> None:
    _roles.roles[role] = _roles.Role(role, lambda: answer, (), None)
    with pytest.raises(Failure, match=says) as failure:
        _roles.call(role)
    assert failure.value.code == "bad-answer"


@pytest.mark.parametrize(
    ("role", "answer", "expected"),
    [
        ("condition", Decision(False, "too small"), Decision(False, "too small")),
        ("verifier", Rejected("wrong"), Rejected("wrong")),
        ("verifier", Accepted(subject="shop"), Accepted(subject="shop")),
        ("step", Config(1), '{"minimum":1}'),
        ("parser", {"é": (1, None)}, '{"é":[1,null]}'),
    ],
)
def test_answers(role: str, answer: Any, expected: Any) -> None:
    _roles.roles[role] = _roles.Role(role, lambda: answer, (), None)
    assert _roles.call(role) == expected


def test_replies() -> None:
    assert Reply.json({"a": 1}, status=201).header_pairs() == [("content-type", "application/json")]
    assert Reply.text("é", headers={"x-a": "1"}).body == "é".encode()
    assert Reply(headers=[("a", "1"), ("a", "2")]).header_pairs() == [("a", "1"), ("a", "2")]


def test_the_schema_of_a_role() -> None:
    @ringback.condition
    def large(config: Config) -> bool:
        return True

    @ringback.parser
    def parse(callback: Callback) -> str:
        return ""

    schema = _roles.schema("condition")
    assert schema is not None and schema["anyOf"][1] == {"type": "null"}
    assert schema["anyOf"][0]["properties"] == {"minimum": {"type": "number", "default": 100}}
    assert _roles.schema("parser") == {"type": ["null", "object"], "maxProperties": 0}
    assert _roles.schema("step") is None
