export { fromBase64, fromHex, fromUtf8, toBase64, toHex, toUtf8 } from './bytes.js';
export { now, randomBytes, randomUUID } from './call.js';
export { Failure } from './failure.js';
export * as http from './http.js';
export * as log from './log.js';
export { accept, reject } from './results.js';
export * as secrets from './secrets.js';
export * as state from './state.js';
