// Signs bodies with the providers' own libraries, and prints one delivery a line:
// {"library", "trigger": keys of the trigger, "secret": the value of S, "headers", "body_base64"}.
import { createRequire } from "node:module";
import { sign } from "@octokit/webhooks-methods";
import "@shopify/shopify-api/adapters/node";
import { createSHA256HMAC, HashFormat } from "@shopify/shopify-api/runtime";
import { CloudEvent, HTTP } from "cloudevents";
import { SignJWT } from "jose";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const versions = createRequire(import.meta.url)("./package.json").dependencies;
const bodies = [
  JSON.stringify({ id: "evt_1", object: "event", data: { total: 12.5, note: "Grüße, 你好, \u{1f600}" } }),
  '{\n  "id": "evt_2",\r\n  "pretty": true\n}',
  JSON.stringify({ id: "evt_3", long: "x".repeat(40_000) }),
];
const now = new Date();

function deliver(library, trigger, secret, headers, body) {
  const body_base64 = Buffer.from(body).toString("base64");
  console.log(JSON.stringify({ library: `${library} ${versions[library]} (npm)`, trigger, secret, headers, body_base64 }));
}

for (const [number, body] of bodies.entries()) {
  const json = { "content-type": "application/json" };

  const github = "It's a Secret to Everybody";
  const signature = await sign(github, body);
  deliver("@octokit/webhooks-methods", "verify: { scheme: github, secret: S }", github, {
    ...json, "x-hub-signature-256": signature, "x-github-event": "push", "x-github-delivery": `delivery-${number}`,
  }, body);

  const hush = await createSHA256HMAC("hush", body, HashFormat.Base64);
  deliver("@shopify/shopify-api", "verify: { scheme: shopify, secret: S }", "hush", {
    ...json, "x-shopify-hmac-sha256": hush, "x-shopify-webhook-id": `webhook-${number}`,
  }, body);

  const stripe = "whsec_test_secret";
  const header = Stripe.webhooks.generateTestHeaderString({ payload: body, secret: stripe });
  deliver("stripe", "verify: { scheme: stripe, secret: S }", stripe, { ...json, "stripe-signature": header }, body);

  const standard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const id = `msg_${number}`;
  const headers = {
    ...json, "webhook-id": id, "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
    "webhook-signature": new Webhook(standard).sign(id, now, body),
  };
  deliver("standardwebhooks", "verify: { scheme: standard-webhooks, secret: S }", standard, headers, body);
  // While one secret replaces the other, senders sign with both.
  const other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
  const both = [new Webhook(other).sign(id, now, body), headers["webhook-signature"]].join(" ");
  deliver("standardwebhooks", "verify: { scheme: standard-webhooks, secret: S }", standard,
    { ...headers, "webhook-signature": both }, body);

  const event = new CloudEvent({ id: `event-${number}`, source: "/shop", type: "order.paid", data: JSON.parse(body) });
  for (const message of [HTTP.binary(event), HTTP.structured(event)]) {
    const text = typeof message.body === "string" ? message.body : JSON.stringify(message.body);
    const names = Object.entries(message.headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
    deliver("cloudevents", "verify: { scheme: cloudevents, origins: ['*'] }", "-", Object.fromEntries(names), text);
  }

  for (const algorithm of ["HS256", "HS384", "HS512"]) {
    const shared = "a shared secret of more than sixty-four bytes, as HS512 would like it to be";
    const token = await new SignJWT({ roles: ["shop"] }).setProtectedHeader({ alg: algorithm }).setSubject("jane")
      .setIssuedAt().setExpirationTime("5m").setAudience("ringback").sign(new TextEncoder().encode(shared));
    deliver("jose", "auth: { jwt: { secret: S, algorithms: [HS256, HS384, HS512], audience: ringback, roles: roles }, roles: [shop] }",
      shared, { ...json, authorization: `Bearer ${token}` }, body);
  }
}
