// Texts and bytes. Written out: the engine of plugins has no TextEncoder and no Buffer.

/** The bytes of a text in UTF-8; half of a surrogate pair alone becomes U+FFFD. */
export function toUtf8(text) {
  const bytes = new Uint8Array(3 * text.length);
  let end = 0;
  for (let index = 0; index < text.length; index += 1) {
    let code = text.codePointAt(index);
    if (code < 0x80) {
      bytes[end++] = code;
      continue;
    }
    if (code > 0xffff) index += 1;
    else if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x800) {
      bytes[end++] = 0xc0 | (code >> 6);
    } else {
      if (code < 0x10000) {
        bytes[end++] = 0xe0 | (code >> 12);
      } else {
        bytes[end++] = 0xf0 | (code >> 18);
        bytes[end++] = 0x80 | ((code >> 12) & 0x3f);
      }
      bytes[end++] = 0x80 | ((code >> 6) & 0x3f);
    }
    bytes[end++] = 0x80 | (code & 0x3f);
  }
  return bytes.slice(0, end);
}

/** The text that bytes are in UTF-8. What is none becomes U+FFFD, or is thrown as a TypeError where `fatal` says so. */
export function fromUtf8(bytes, { fatal = false } = {}) {
  const units = [];
  let text = '';
  const give = (code) => {
    if (code > 0xffff) units.push(0xd7c0 + (code >> 10), 0xdc00 | (code & 0x3ff));
    else units.push(code);
    if (units.length > 8000) {
      text += String.fromCharCode(...units);
      units.length = 0;
    }
  };
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    if (first < 0x80) {
      give(first);
      at += 1;
      continue;
    }
    const length = first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 1;
    // What would be longer than it need be, a surrogate, or beyond the last character.
    const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    let code = first & (0xff >> (length + 1));
    let read = 1;
    while (read < length) {
      const next = bytes[at + read];
      if (!(next >= (read === 1 ? lowest : 0x80) && next <= (read === 1 ? highest : 0xbf))) break;
      code = (code << 6) | (next & 0x3f);
      read += 1;
    }
    if (length === 1 || read < length) {
      if (fatal) throw new TypeError(`byte ${at} is no UTF-8`);
      give(0xfffd);
    } else {
      give(code);
    }
    at += read;
  }
  return text + String.fromCharCode(...units);
}

/** Bytes as they are, and a text as UTF-8. */
export function toBytes(value) {
  if (typeof value === 'string') return toUtf8(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`a text or a Uint8Array is needed, and this is ${value === null ? 'null' : typeof value}`);
}

/** Bytes in hexadecimal, in lower case. */
export function toHex(bytes) {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** The bytes that a text in hexadecimal says, in upper or lower case; `undefined` when it says none. */
export function fromHex(text) {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, index) => parseInt(text.slice(2 * index, 2 * index + 2), 16));
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const DIGITS = new Map([...ALPHABET, '-', '_'].map((digit, value) => [digit, value < 64 ? value : value - 2]));

/** Bytes in base64, with its padding. */
export function toBase64(bytes) {
  let text = '';
  for (let index = 0; index < bytes.length; index += 3) {
    const [first, second = 0, third = 0] = bytes.subarray(index, index + 3);
    const bits = (first << 16) | (second << 8) | third;
    const digits = [18, 12, 6, 0].map((shift) => ALPHABET[(bits >> shift) & 63]);
    const length = bytes.length - index;
    text += length > 2 ? digits.join('') : digits.slice(0, length + 1).join('') + '='.repeat(3 - length);
  }
  return text;
}

/** The bytes that a text in base64 says, with the alphabet for texts or for URLs, with its padding or without; `undefined` when it
 * says none. */
export function fromBase64(text) {
  const digits = text.replace(/={0,2}$/, '');
  if (digits.length % 4 === 1) return undefined;
  const bytes = new Uint8Array((digits.length * 3) >> 2);
  let end = 0;
  let bits = 0;
  let have = 0;
  for (const digit of digits) {
    const value = DIGITS.get(digit);
    if (value === undefined) return undefined;
    bits = ((bits << 6) | value) & 0xffff;
    have += 6;
    if (have >= 8) {
      have -= 8;
      bytes[end++] = bits >> have;
    }
  }
  return bytes;
}
