// Stands in for the host where there is none. Its functions answer as those of a host do, and fail as they do.

import { createHmac, createPublicKey, randomBytes, timingSafeEqual, verify } from 'node:crypto';
import { fromBase64, fromHex, toBytes } from '../bytes.js';

const fresh = () => ({
  now: undefined,
  secrets: new Map(),
  state: new Map(),
  log: [],
  answer: undefined,
  /** The callback that was looked at last: its body is meant where a message has one. */
  callback: undefined,
});

export let host = fresh();

export function reset() {
  host = fresh();
}

const fail = (code, message, retryable = false) => {
  throw { code, message, retryable };
};

// call

export const now = () => BigInt(host.now ?? Date.now());

export const random = (length) => new Uint8Array(randomBytes(length));

// log

export const write = (level, message) => void host.log.push(`${level}: ${message}`);

// secrets

const secret = (name) => host.secrets.get(name) ?? fail('unknown-secret', `there is no secret named ${name}`);

const same = (left, right) => left.length === right.length && timingSafeEqual(left, right);

export const equals = (name, value) => same(secret(name), value);

/** The bytes that a caller sent; none when they are not of the form that they are said to have. */
function sent({ tag, val }) {
  if (tag === 'hex') return fromHex(val) ?? new Uint8Array();
  return (tag === 'base64' ? fromBase64(val) : val) ?? new Uint8Array();
}

const signed = (parts) =>
  Buffer.concat(
    parts.map(({ tag, val }) =>
      tag === 'bytes' ? val : (host.callback?.body() ?? fail('no-callback', 'there is no callback whose body could be meant')),
    ),
  );

function key(name, form) {
  const value = secret(name);
  if (form === 'plain') return value;
  const text = Buffer.from(value).toString().trim();
  return (form === 'hex' ? fromHex(text) : fromBase64(text)) ?? fail('invalid-key', `the secret ${name} is no ${form}`);
}

export function verifyMac(name, form, algorithm, parts, mac) {
  const made = createHmac(algorithm.replace('hmac-', ''), key(name, form)).update(signed(parts)).digest();
  return same(new Uint8Array(made), sent(mac));
}

function publicKey(name) {
  const text = Buffer.from(secret(name)).toString().trim();
  try {
    if (text.startsWith('-----')) return createPublicKey(text);
    const bytes = Buffer.from(text, 'base64');
    // What stands before the 32 bytes of a key of Ed25519.
    const der = bytes.length === 32 ? Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), bytes]) : bytes;
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    return fail('invalid-key', `the secret ${name} is no public key`);
  }
}

const KINDS = { ed25519: 'ed25519', ecdsa: 'ec', rsa: 'rsa' };

export function verifySignature(name, algorithm, parts, signature) {
  const found = publicKey(name);
  const [kind] = algorithm.split('-');
  if (found.asymmetricKeyType !== KINDS[kind]) fail('invalid-key', `the secret ${name} is no key for ${algorithm}`);
  const [message, bytes] = [signed(parts), sent(signature)];
  const hash = /sha\d+$/.exec(algorithm)?.[0] ?? null;
  if (kind === 'ecdsa') {
    return ['der', 'ieee-p1363'].some((dsaEncoding) => verify(hash, message, { key: found, dsaEncoding }, bytes));
  }
  // 6 is RSA-PSS, for which the salt is as long as the hash (-1).
  const options = algorithm.startsWith('rsa-pss') ? { key: found, padding: 6, saltLength: -1 } : found;
  return verify(hash, message, options, bytes);
}

// state

function checkKey(name, size = 0) {
  const { length } = toBytes(name);
  if (length === 0 || length > 256 || size > 65536) fail('too-large', 'a key has 1 to 256 bytes, a value at most 64 KiB');
}

export function getState(name) {
  checkKey(name);
  return host.state.get(name)?.slice();
}

export function setState(name, value) {
  checkKey(name, value.length);
  if (host.state.size >= 10_000 && !host.state.has(name)) fail('too-many-keys', 'a plugin has at most 10,000 keys');
  host.state.set(name, value.slice());
}

export function removeState(name) {
  checkKey(name);
  host.state.delete(name);
}

// http

export function send(request) {
  if (host.answer === undefined) fail('host-not-allowed', 'this test answers no requests; see onHttp of @ringback/plugin/testing');
  return host.answer(request);
}
