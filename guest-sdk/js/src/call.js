import { now as hostNow, random as hostRandom } from '#host/call';

/** Most bytes that the host gives at once. */
const AT_ONCE = 4096;

/** When this call began. */
export const now = () => new Date(Number(hostNow()));

/** Random bytes of the operating system. */
export function randomBytes(length) {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += AT_ONCE) bytes.set(hostRandom(Math.min(AT_ONCE, length - at)), at);
  return bytes;
}

/** A random UUID (version 4). */
export function randomUUID() {
  const bytes = hostRandom(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A number of at least 0 and less than 1, with 53 random bits. */
export function random() {
  const bytes = hostRandom(7);
  let bits = bytes[0] & 0x1f;
  for (let index = 1; index < 7; index += 1) bits = bits * 256 + bytes[index];
  return bits / 2 ** 53;
}
