// What programs expect to be there, and the engine of plugins does not have. It is made once, when the component is built.

import { fromUtf8, toUtf8 } from './bytes.js';
import { random, randomBytes, randomUUID } from './call.js';
import * as log from './log.js';

class TextEncoder {
  get encoding() {
    return 'utf-8';
  }

  encode(text = '') {
    return toUtf8(String(text));
  }
}

class TextDecoder {
  #fatal;

  constructor(label = 'utf-8', { fatal = false } = {}) {
    if (!/^(unicode-1-1-)?utf-?8$/i.test(label)) throw new RangeError(`the encoding ${label} is not known here; utf-8 is`);
    this.#fatal = fatal;
  }

  get encoding() {
    return 'utf-8';
  }

  decode(input = new Uint8Array()) {
    const bytes = ArrayBuffer.isView(input)
      ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      : new Uint8Array(input);
    const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
    return fromUtf8(marked ? bytes.subarray(3) : bytes, { fatal: this.#fatal });
  }
}

function getRandomValues(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  bytes.set(randomBytes(bytes.length));
  return array;
}

const { debug, info, warn, error } = log;

const made = {
  TextEncoder,
  TextDecoder,
  console: { debug, log: info, info, warn, error },
  crypto: { getRandomValues, randomUUID },
};
for (const [name, value] of Object.entries(made)) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

// The engine seeds it when the component is built: every call would draw the same numbers.
Math.random = random;
