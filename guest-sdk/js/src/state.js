import { getState, removeState, setState } from '#host/state';
import { fromUtf8, toBytes, toUtf8 } from './bytes.js';
import { asked } from './failure.js';

/** The bytes under a key; `undefined` when there are none. */
export const getBytes = (key) => asked(() => getState(key)) ?? undefined;

/** Keeps bytes, or a text, under a key. */
export const setBytes = (key, value) => asked(() => setState(key, toBytes(value)));

/** The value under a key; `undefined` when there is none. */
export function get(key) {
  const bytes = getBytes(key);
  return bytes === undefined ? undefined : JSON.parse(fromUtf8(bytes));
}

/** Keeps a value, as JSON, under a key. */
export function set(key, value) {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`what is kept under ${key} is no JSON; remove it with state.remove`);
  asked(() => setState(key, toUtf8(text)));
}

/** Removes a key. */
export const remove = (key) => asked(() => removeState(key));
