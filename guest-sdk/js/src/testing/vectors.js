// The cases of a plugin, run here as a server runs them when it is uploaded.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fromBase64, fromUtf8, toBase64, toUtf8 } from '../bytes.js';
import { Failure } from '../failure.js';
import { toDecision, toJson, toReply, toVerdict } from '../results.js';
import { host, reset } from './host.js';
import { callback, execution, onHttp, setNow, setSecret } from './index.js';

/** The cases of a file. */
export const cases = (path = 'vectors.json') => JSON.parse(readFileSync(path, 'utf8'));

const bytesOf = ({ body, body_base64: base64 }) => {
  if (base64 !== undefined) return fromBase64(base64);
  return toUtf8(typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body));
};

function callbackOf({ role, callback: given = {}, data, now }) {
  const { method, url, headers, flow, trigger, environment, remote_address: remoteAddress, claims } = given;
  const body = bytesOf(given);
  // Who is asked before the body is parsed sees no data.
  const parsed = role === 'verifier' || role === 'parser' ? { data: undefined } : data === undefined ? {} : { data };
  const said = { method, url, headers, flow, trigger, environment, remoteAddress, claims, receivedAt: now };
  const there = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
  return callback({ ...there, body, ...parsed });
}

function executionOf({ role, execution: given }) {
  if (given === undefined && role !== 'step') return undefined;
  const { scope = {}, ...about } = given ?? {};
  return execution(scope, about);
}

/** What a role made of a case, as a case says what it expects. */
const roles = {
  verifier(value) {
    const { tag, val } = toVerdict(value);
    if (tag === 'rejected') return { rejected: val };
    const { deliveryId, subject, claims } = val;
    return { accepted: { delivery_id: deliveryId, subject, claims: claims === undefined ? null : JSON.parse(claims) } };
  },
  parser: (value) => ({ data: JSON.parse(toJson('parser', value)) }),
  condition(value) {
    const { holds, reason } = toDecision(value);
    return { holds, reason: reason ?? '' };
  },
  step: (value) => ({ result: JSON.parse(toJson('step', value)) }),
  responder(value) {
    const { status, headers, body } = toReply(value);
    return { reply: { status, headers, body } };
  },
};

function asked(plugin, one) {
  const { role, config, secrets = {}, state = {}, http = [], now } = one;
  const work = plugin[role] ?? plugin.default?.[role];
  assert(typeof work === 'function', `the plugin exports no function named ${role}`);
  reset();
  for (const [name, value] of Object.entries(secrets)) setSecret(name, value);
  for (const [key, value] of Object.entries(state)) host.state.set(key, toUtf8(value));
  if (now !== undefined) setNow(now);
  const answers = [...http];
  onHttp(({ url }) => {
    const answer = answers.shift();
    const wrong = (message) => {
      throw { code: 'host-not-allowed', message, retryable: false };
    };
    if (answer === undefined) wrong(`the case has no answer to a request to ${url}`);
    if (answer.url !== undefined && answer.url !== url) wrong(`the case expects a request to ${answer.url}, not to ${url}`);
    return { status: answer.status, headers: answer.headers, body: bytesOf(answer) };
  });
  const context = { config: config ?? {} };
  if (role === 'condition' || role === 'responder') context.execution = executionOf(one);
  try {
    return roles[role](work(role === 'step' ? executionOf(one) : callbackOf(one), context));
  } catch (thrown) {
    // An error that is none of the plugin's own has the code `exception`, as it has on a server.
    if (one.expect.failure === undefined) throw thrown;
    return { failure: thrown instanceof Failure ? thrown.code : 'exception' };
  } finally {
    reset();
  }
}

function checkReply(name, { status, headers, body }, expected) {
  if (expected.status !== undefined) assert.equal(status, expected.status, `${name}: its status`);
  for (const [header, value] of Object.entries(expected.headers ?? {})) {
    const found = headers.filter(([known]) => known.toLowerCase() === header.toLowerCase()).map(([, value]) => value);
    assert(found.includes(value), `${name}: its header ${header} is ${found.join(', ') || 'not there'}, not ${value}`);
  }
  if (expected.body_base64 !== undefined) assert.equal(toBase64(body), expected.body_base64, `${name}: its body`);
  if (expected.body === undefined) return;
  const text = fromUtf8(body);
  const found = typeof expected.body === 'string' ? text : JSON.parse(text);
  assert.deepEqual(found, expected.body, `${name}: its body`);
}

/** Runs a case: an `AssertionError` says what differs. */
export function check(plugin, one) {
  const found = asked(plugin, one);
  const { name, expect } = one;
  const part = (what, text, expected) => {
    const fits = expected === true || (typeof text === 'string' && text.includes(expected));
    assert(fits, `${name}: its ${what} is ${JSON.stringify(text)}, without ${JSON.stringify(expected)}`);
  };
  for (const [kind, expected] of Object.entries(expect)) {
    const is = found[kind];
    if (kind !== 'reason') assert(kind in found, `${name}: expected is ${kind}, and it is ${JSON.stringify(found)}`);
    if (kind === 'rejected' || kind === 'reason') part('reason', is, expected);
    else if (kind === 'reply') checkReply(name, is, expected);
    else if (kind === 'accepted') {
      for (const [member, value] of Object.entries(expected)) assert.deepEqual(is[member], value, `${name}: ${member}`);
    } else assert.deepEqual(is, expected, `${name}: ${kind}`);
  }
}
