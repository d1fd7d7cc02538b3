import { equals as hostEquals, verifyMac, verifySignature as hostVerifySignature } from '#host/secrets';
import { toBytes } from './bytes.js';
import { asked } from './failure.js';

/** Stands for the body of the callback in a message: it need not enter the plugin. */
export const BODY = Symbol('the body of the callback');

const part = (value) => (value === BODY ? { tag: 'body' } : { tag: 'bytes', val: toBytes(value) });
const message = (value) => (Array.isArray(value) ? value : [value]).map(part);

/** What a caller sent, in the form that it says. */
function encoded(value, what) {
  const [tag, ...others] = ['hex', 'base64', 'bytes'].filter((form) => form in value);
  if (tag === undefined || others.length > 0) throw new TypeError(`the ${what} is given as one of hex, base64 and bytes`);
  const sent = value[tag];
  // A header that is not there is no hash of anything.
  return { tag, val: tag === 'bytes' ? toBytes(sent ?? new Uint8Array()) : (sent ?? '') };
}

/** Whether a keyed hash is that of a message under a secret. */
export function verifyHmac(secret, { algorithm = 'sha256', key = 'plain', message: signed = BODY, ...sent }) {
  return asked(() => verifyMac(secret, key, `hmac-${algorithm}`, message(signed), encoded(sent, 'hash')));
}

/** Whether a signature is that of a message under a public key. */
export function verifySignature(key, { algorithm, message: signed = BODY, ...sent }) {
  return asked(() => hostVerifySignature(key, algorithm, message(signed), encoded(sent, 'signature')));
}

/** Whether a value is that of a secret. */
export const equals = (secret, value) => asked(() => hostEquals(secret, toBytes(value ?? '')));
