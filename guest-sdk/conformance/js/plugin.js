// See README.md beside this directory.

import { Failure, accept, http, log, randomBytes, reject, secrets, state, toHex } from '@ringback/plugin';
import cases from './vectors.json' with { type: 'json' };

export const vectors = cases;

const object = (properties, required) => ({ type: 'object', properties, required, additionalProperties: false });
const text = { type: 'string' };
const actions = ['echo', 'seen', 'count', 'forget', 'fetch', 'token', 'random', 'fail', 'crash', 'log'];

export const schema = {
  verifier: object({ secret: text }, ['secret']),
  parser: object({ do: { enum: ['text', 'data'] } }, ['do']),
  condition: object({ path: text, minimum: { type: 'number' }, of: { enum: ['data', 'execution'] } }, ['path', 'minimum']),
  step: object({ do: { enum: actions }, value: {}, key: text, url: text, secret: text, code: text }, ['do']),
  responder: object({ status: { type: 'integer' }, text, bytes: { type: 'array', items: { type: 'integer' } } }, ['status']),
};

/** @type {import('@ringback/plugin').Verifier} */
export function verifier(callback, { config }) {
  const signature = callback.header('x-signature');
  if (signature === undefined) return reject('there is no x-signature');
  const message = [callback.header('x-timestamp') ?? '', '.', secrets.BODY];
  if (!secrets.verifyHmac(config.secret, { message, hex: signature })) return reject('the signature is wrong');
  const claims = { bytes: callback.bodySize, flow: callback.flow };
  return accept({ deliveryId: callback.header('x-id'), subject: 'conformance', claims });
}

/** @type {import('@ringback/plugin').Parser} */
export function parser(callback, { config }) {
  if (config.do === 'data') return callback.data;
  return {
    method: callback.method,
    path: callback.path,
    query: callback.queryPairs,
    a: callback.queryAll('a'),
    header: callback.header('X-A') ?? null,
    headers: callback.headers.length,
    size: callback.bodySize,
    environment: callback.environment,
    flow: callback.flow ?? null,
    trigger: callback.trigger ?? null,
    from: callback.remoteAddress ?? null,
    text: callback.text,
  };
}

/** @type {import('@ringback/plugin').Condition} */
export function condition(callback, { config, execution }) {
  if (config.of === 'execution' && execution === undefined) throw new Failure('no-execution', 'no execution waits');
  const value = (config.of === 'execution' ? execution : callback).get(config.path);
  if (typeof value !== 'number') return { holds: false, reason: 'there is none' };
  const holds = value >= config.minimum;
  return { holds, reason: holds ? 'it is large enough' : 'it is too small' };
}

/** @type {import('@ringback/plugin').Step} */
export function step(execution, { config }) {
  switch (config.do) {
    case 'echo':
      return config.value;
    case 'seen':
      return {
        id: execution.id,
        flow: execution.flow,
        environment: execution.environment,
        scope: execution.scope,
        lines: execution.select('$.data.lines[*]'),
      };
    case 'count': {
      const count = (state.get(config.key) ?? 0) + 1;
      state.set(config.key, count);
      return { count };
    }
    case 'forget':
      state.remove(config.key);
      return null;
    case 'fetch': {
      const answer = http.send(config.url, { headers: { 'x-ping': '1' }, body: 'ping' });
      return { status: answer.status, pong: answer.header('x-pong') ?? null, text: answer.text };
    }
    case 'token':
      return secrets.equals(config.secret, config.value);
    case 'random':
      return toHex(randomBytes(8));
    case 'fail':
      throw new Failure(config.code, 'failed on purpose', { retryable: true, detail: { on: 'purpose' } });
    case 'crash':
      throw new TypeError('crashed on purpose');
    default:
      log.debug('a');
      log.info('b');
      log.warn('c');
      log.error('d');
      return null;
  }
}

/** @type {import('@ringback/plugin').Responder} */
export function responder(callback, { config, execution }) {
  const body = config.bytes === undefined ? `${config.text ?? ''}:${execution?.id ?? 'none'}` : Uint8Array.from(config.bytes);
  return { status: config.status, headers: { 'content-type': 'text/plain', 'x-size': String(callback.bodySize) }, body };
}
