// What the functions of a plugin return, and what becomes of it.

import { toBytes, toUtf8 } from './bytes.js';
import { Failure } from './failure.js';

/** The callback is genuine. */
export const accept = (proof = {}) => ({ accepted: proof });

/** The callback is not genuine. */
export const reject = (reason) => ({ rejected: reason });

/** Names and values, from a list of pairs or from an object. */
export const pairs = (headers) =>
  (Array.isArray(headers) ? [...headers] : Object.entries(headers ?? {})).map(([name, value]) => [name, String(value)]);

/** What something is, in a few words. */
function what(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  if (typeof value === 'object') {
    const names = Object.keys(value).slice(0, 5).join(', ');
    return Array.isArray(value) ? 'a list' : names === '' ? 'an object without members' : `an object with ${names}`;
  }
  return typeof value === 'string' ? `the text ${JSON.stringify(value.slice(0, 40))}` : `a ${typeof value}`;
}

const wrong = (role, found, expected) =>
  new Failure('wrong-result', `the ${role} returned ${what(found)}; it is to return ${expected}`);

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A text, or none. */
function optional(role, object, name) {
  const value = object[name] ?? undefined;
  if (value !== undefined && typeof value !== 'string') {
    throw new Failure('wrong-result', `the ${role} returned ${what(value)} as \`${name}\`; it is to be a text`);
  }
  return value;
}

/** The text of JSON. */
export function toJson(role, value) {
  const text = JSON.stringify(value);
  if (text === undefined) {
    throw wrong(role, value, 'what can be written as JSON: null, where there is nothing to say');
  }
  return text;
}

/** A condition: true or false, or an object with the reason. */
export function toDecision(result) {
  if (typeof result === 'boolean') return { holds: result, reason: undefined };
  if (isObject(result) && typeof result.holds === 'boolean') {
    return { holds: result.holds, reason: optional('condition', result, 'reason') };
  }
  throw wrong('condition', result, 'true, false, or { holds, reason }');
}

/** A verifier: what `accept` and `reject` make. */
export function toVerdict(result) {
  if (isObject(result) && typeof result.rejected === 'string') return { tag: 'rejected', val: result.rejected };
  if (isObject(result) && isObject(result.accepted)) {
    const { claims } = result.accepted;
    const val = {
      deliveryId: optional('verifier', result.accepted, 'deliveryId'),
      subject: optional('verifier', result.accepted, 'subject'),
      claims: claims === undefined ? undefined : toJson('verifier', claims),
    };
    return { tag: 'accepted', val };
  }
  throw wrong('verifier', result, 'accept(…) or reject(why)');
}

/** A responder: a status, headers, and a body as text, bytes or JSON. */
export function toReply(result) {
  const expected = '{ status, headers, and json, or body as a text or a Uint8Array }';
  if (!isObject(result)) throw wrong('responder', result, expected);
  const { status = 200, headers, json, body } = result;
  const isBody = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  if (!Number.isInteger(status) || status < 0 || status > 65535 || !isBody) throw wrong('responder', result, expected);
  const all = pairs(headers);
  const type = json !== undefined ? 'application/json' : typeof body === 'string' ? 'text/plain; charset=utf-8' : undefined;
  if (type !== undefined && !all.some(([name]) => name.toLowerCase() === 'content-type')) all.push(['content-type', type]);
  const bytes = json !== undefined ? toUtf8(toJson('responder', json)) : body === undefined ? new Uint8Array() : toBytes(body);
  return { status, headers: all, body: bytes };
}
