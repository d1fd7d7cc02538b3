"""What stands in for the host does as the host does."""

from pathlib import Path

import pytest

from ringback import Accepted, Failure, http, secrets, state, testing
from ringback.__main__ import WIT


def test_a_callback_is_what_it_was_made_of() -> None:
    callback = testing.callback(
        method="PUT",
        url="https://shop.test/h/key?a=1&b=x+y&a=2&c",
        headers=[("X-A", "1"), ("x-a", "2")],
        body='{"a": [1]}',
    )
    assert (callback.path, callback.query["a"], callback.query.all("a")) == ("/h/key", "1", ["1", "2"])
    assert dict(callback.query) == {"a": "1", "b": "x y", "c": ""}
    assert (callback.headers["X-a"], callback.headers.get("x-b"), len(callback.headers)) == ("1, 2", None, 1)
    assert (callback.data, callback.get("$.a[0]"), callback.get("$.b", 7)) == ({"a": [1]}, 1, 7)
    assert (callback.body_size, callback.received_at.isoformat()) == (10, "2026-01-01T00:00:00+00:00")


def test_what_a_callback_has_not_fails_as_on_the_host() -> None:
    with pytest.raises(Failure, match="not-parsed"):
        _ = testing.callback(body="no JSON").data
    with pytest.raises(Failure, match="not-text"):
        _ = testing.callback(body=b"\xff").text
    with pytest.raises(Failure, match="invalid-path"):
        testing.callback({}).select("a.b")


def test_secrets() -> None:
    callback = testing.callback(body="brown fox jumps over the lazy dog")
    mac = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    with testing.Host(secrets={"KEY": "key", "HEX": "6b6579", "BASE64": "a2V5"}):
        assert secrets.verify_hmac("KEY", ["The quick ", callback], hex=mac)
        assert secrets.verify_hmac("KEY", [b"The quick ", callback], hex=mac.upper())
        assert secrets.verify_hmac("HEX", ["The quick ", callback], hex=mac, key="hex")
        assert secrets.verify_hmac("BASE64", ["The quick ", callback], raw=bytes.fromhex(mac), key="base64")
        assert secrets.verify_hmac(
            "KEY", ["The quick ", callback], base64="97yD9DBThCSxMpjmqm-xQ-9NWaFJRhdZl0edvC0aPNg"
        )
        assert not secrets.verify_hmac("KEY", callback, hex=mac)
        assert not secrets.verify_hmac("KEY", callback, hex="no hex")
        with pytest.raises(Failure, match="invalid-key"):
            secrets.verify_hmac("KEY", callback, hex=mac, key="hex")
        with pytest.raises(Failure, match="unknown-secret"):
            secrets.equals("NONE", "x")
        with pytest.raises(Failure, match="not-available"):
            secrets.verify_signature("KEY", callback, algorithm="ed25519", hex=mac)
        with pytest.raises(TypeError, match="one of"):
            secrets.verify_hmac("KEY", callback)
    with testing.Host(secrets={"KEY": ""}, signatures=True):
        assert secrets.verify_signature("KEY", callback, algorithm="ed25519", hex=mac)


def test_state_and_requests() -> None:
    with testing.Host(state={"a": "1"}) as host:
        assert (state.get("a"), state.get("b")) == (b"1", None)
        state.set("b", "2")
        state.remove("a")
        assert host.state == {"b": b"2"}
        for key, value in (("", ""), ("k" * 257, ""), ("k", "x" * 65537)):
            with pytest.raises(Failure, match="too-large"):
                state.set(key, value)
        with pytest.raises(Failure, match="host-not-allowed"):
            http.send("GET", "https://api.test/")
    with (
        testing.Host(state={str(number): "" for number in range(10_000)}),
        pytest.raises(Failure, match="too-many-keys"),
    ):
        state.set("one more", "")
    answers = testing.Host(http=lambda method, url, headers, body: http.Response(201, headers, body or b""))
    with answers:
        answer = http.send("POST", "https://api.test/", json={"a": 1})
    assert (answer.json(), answer.header("Content-Type")) == ({"a": 1}, "application/json")


def test_hosts_do_not_share() -> None:
    with testing.Host(state={"a": "1"}):
        with testing.Host():
            assert state.get("a") is None
        assert state.get("a") == b"1"


@pytest.mark.parametrize(
    ("expect", "differs"),
    [
        ({"accepted": {}}, False),
        ({"accepted": {"subject": "shop", "claims": {"a": 1}}}, False),
        ({"accepted": {"subject": "other"}}, True),
        ({"rejected": True}, True),
        ({"failure": "exception"}, True),
    ],
)
def test_vectors_find_what_differs(expect: dict[str, object], differs: bool) -> None:
    found = testing._difference(Accepted(subject="shop", claims={"a": 1}), expect)
    assert (found is not None) == differs


def test_the_interface_is_that_of_the_server() -> None:
    here = Path(__file__).parent
    ours, theirs = here.parent / "src/ringback/wit", here.parents[2] / f"wit/{WIT}"
    names = sorted(file.name for file in theirs.iterdir())
    assert names == sorted(file.name for file in ours.iterdir())
    for name in names:
        assert (ours / name).read_text() == (theirs / name).read_text(), name
