"""Signs bodies with the providers' own libraries, and prints one delivery a line, as sign.mjs does."""

import base64
import datetime
import importlib.metadata
import json
import time
import urllib.parse

import jwt
import stripe
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator

BODIES = [
    json.dumps({"id": "evt_1", "data": {"total": 12.5, "note": "Grüße, 你好, \U0001f600"}}, ensure_ascii=False),
    '{\n  "id": "evt_2",\r\n  "pretty": true\n}',
    json.dumps({"id": "evt_3", "long": "x" * 40_000}),
]
JSON = {"content-type": "application/json"}


def deliver(library, trigger, secret, headers, body):
    library = f"{library} {importlib.metadata.version(library)} (PyPI)"
    body = base64.b64encode(body.encode()).decode()
    print(json.dumps({"library": library, "trigger": trigger, "secret": secret, "headers": headers, "body_base64": body}))


for number, body in enumerate(BODIES):
    now = int(time.time())

    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(now), body=body)
    headers = {**JSON, "x-slack-signature": signature, "x-slack-request-timestamp": str(now)}
    deliver("slack_sdk", "verify: { scheme: slack, secret: S }", secret, headers, body)

    secret = "whsec_test_secret"
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{body}", secret)
    headers = {**JSON, "stripe-signature": f"t={now},v1={signature}"}
    deliver("stripe", "verify: { scheme: stripe, secret: S }", secret, headers, body)

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signature = Webhook(secret).sign(f"py_{number}", datetime.datetime.fromtimestamp(now, datetime.timezone.utc), body)
    headers = {**JSON, "webhook-id": f"py_{number}", "webhook-timestamp": str(now), "webhook-signature": signature}
    deliver("standardwebhooks", "verify: { scheme: standard-webhooks, secret: S }", secret, headers, body)

    secret = "a shared secret of more than sixty-four bytes, as HS512 would like it to be"
    for algorithm in ["HS256", "HS384", "HS512"]:
        claims = {"sub": "jane", "exp": now + 300, "aud": "ringback", "roles": ["shop"]}
        token = jwt.encode(claims, secret, algorithm=algorithm)
        trigger = "auth: { jwt: { secret: S, algorithms: [HS256, HS384, HS512], audience: ringback, roles: roles }, roles: [shop] }"
        deliver("PyJWT", trigger, secret, {**JSON, "user-token": token}, body)

# Twilio signs the URL with the parameters of a form.
token, url = "12345", "https://shop.example/twilio?x=1"
for parameters in [{"CallSid": "CA1", "From": "+14158675310", "To": "+18005551212"}, {"Body": "Grüße & <x>", "Empty": ""}]:
    deliver(
        "twilio",
        f"verify: {{ plugin: twilio-signature, with: {{ secret: S, url: '{url}' }} }}\n    parse: form",
        token,
        {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": RequestValidator(token).compute_signature(url, parameters),
        },
        urllib.parse.urlencode(parameters),
    )
