"""Write ringback plugins as plain Python functions.

A plugin plays one or more roles. For each, decorate one function. It takes what it needs by name:

==============  ====================================  ==========================================
decorator       takes                                 answers
==============  ====================================  ==========================================
``@verifier``   ``callback``, ``config``              ``Accepted(…)`` or ``Rejected("why")``
``@parser``     ``callback``, ``config``              the data: whatever JSON can say
``@condition``  ``callback``, ``execution``,          ``True``, ``False``, or
                ``config``                            ``Decision(False, "why not")``
``@step``       ``execution``, ``config``             the result: whatever JSON can say
``@responder``  ``callback``, ``execution``,          ``Reply.json(…)``, ``Reply.text(…)``
                ``config``                            or ``Reply(status, body, headers)``
==============  ====================================  ==========================================

``config`` is the flow's ``with:``, read as the type in the annotation: a dataclass, a TypedDict or a built-in type. It is
checked when the flow is deployed, and its JSON Schema is part of the plugin.

>>> import dataclasses, ringback
>>> @dataclasses.dataclass
... class Config:
...     minimum: float
>>> @ringback.condition
... def large_orders(callback: ringback.Callback, config: Config) -> bool:
...     return callback.get("$.order.total", 0) >= config.minimum

The function is an ordinary one, and tested as such:

>>> from ringback import testing
>>> large_orders(testing.callback({"order": {"total": 120}}), Config(minimum=100))
True

``raise Failure(code, message)`` where the work cannot be done; any other exception is one, too, and its traceback is in the
trace. ``logging`` and ``print`` write to the trace. ``python -m ringback build`` makes the ``.wasm`` file.

What a plugin may ask of the host is in the modules :mod:`ringback.secrets`, :mod:`ringback.state` and
:mod:`ringback.http`; a module that is not imported is not asked for.
"""

from ._roles import condition, parser, responder, step, verifier
from ._values import Accepted, Decision, Failure, Rejected, Reply
from ._views import Callback, Execution

__all__ = [
    "Accepted",
    "Callback",
    "Decision",
    "Execution",
    "Failure",
    "Rejected",
    "Reply",
    "condition",
    "parser",
    "responder",
    "step",
    "verifier",
]

__version__ = "0.1.0"
