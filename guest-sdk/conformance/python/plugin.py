"""See README.md beside this directory."""

import dataclasses
import logging
import secrets as random
from typing import Annotated, Any, Literal

import ringback
from ringback import Accepted, Callback, Decision, Execution, Failure, Rejected, Reply, http, secrets, state

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Signed:
    secret: Annotated[str, "The name of the secret."]


@ringback.verifier
def signed(callback: Callback, config: Signed) -> Accepted | Rejected:
    signature = callback.headers.get("x-signature")
    if signature is None:
        return Rejected("there is no x-signature")
    message = [callback.headers.get("x-timestamp", ""), ".", callback]
    if not secrets.verify_hmac(config.secret, message, hex=signature):
        return Rejected("the signature is wrong")
    claims = {"bytes": callback.body_size, "flow": callback.flow}
    return Accepted(delivery_id=callback.headers.get("x-id"), subject="conformance", claims=claims)


@dataclasses.dataclass
class Parse:
    do: Literal["text", "data"]


@ringback.parser
def parse(callback: Callback, config: Parse) -> Any:
    if config.do == "data":
        return callback.data
    return {
        "method": callback.method,
        "path": callback.path,
        "query": callback.query.pairs(),
        "a": callback.query.all("a"),
        "header": callback.headers.get("X-A"),
        "headers": len(callback.headers.pairs()),
        "size": callback.body_size,
        "environment": callback.environment,
        "flow": callback.flow,
        "trigger": callback.trigger,
        "from": callback.remote_address,
        "text": callback.text,
    }


@dataclasses.dataclass
class Minimum:
    path: str
    minimum: float
    of: Literal["data", "execution"] = "data"


@ringback.condition
def large(callback: Callback, execution: Execution | None, config: Minimum) -> Decision:
    if config.of == "execution" and execution is None:
        raise Failure("no-execution", "no execution waits")
    value = (execution if execution and config.of == "execution" else callback).get(config.path)
    if not isinstance(value, int | float):
        return Decision(False, "there is none")
    return Decision(True, "it is large enough") if value >= config.minimum else Decision(False, "it is too small")


@dataclasses.dataclass
class Do:
    do: Literal["echo", "seen", "count", "forget", "fetch", "token", "random", "fail", "crash", "log"]
    value: Any = None
    key: str = ""
    url: str = ""
    secret: str = ""
    code: str = ""


@ringback.step
def step(execution: Execution, config: Do) -> Any:
    match config.do:
        case "echo":
            return config.value
        case "seen":
            return {
                "id": execution.id,
                "flow": execution.flow,
                "environment": execution.environment,
                "scope": execution.scope,
                "lines": execution.select("$.data.lines[*]"),
            }
        case "count":
            count = int(state.get(config.key) or b"0") + 1
            state.set(config.key, str(count))
            return {"count": count}
        case "forget":
            state.remove(config.key)
        case "fetch":
            answer = http.send("POST", config.url, headers={"x-ping": "1"}, body="ping")
            return {"status": answer.status, "pong": answer.header("x-pong"), "text": answer.text}
        case "token":
            return secrets.equals(config.secret, config.value)
        case "random":
            return random.token_hex(8)
        case "fail":
            raise Failure(config.code, "failed on purpose", retryable=True, detail={"on": "purpose"})
        case "crash":
            raise KeyError("crashed on purpose")
        case "log":
            log.debug("a")
            log.info("b")
            log.warning("c")
            log.error("d")
    return None


@dataclasses.dataclass
class Answer:
    status: int
    text: str = ""
    bytes: list[int] | None = None


@ringback.responder
def respond(callback: Callback, execution: Execution | None, config: Answer) -> Reply:
    text = f"{config.text}:{execution.id if execution else 'none'}"
    body = text.encode() if config.bytes is None else bytes(config.bytes)
    return Reply(config.status, body, {"content-type": "text/plain", "x-size": str(callback.body_size)})
