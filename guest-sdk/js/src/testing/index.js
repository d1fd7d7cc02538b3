// What tests of a plugin need, without a host.

import { fromUtf8, toBytes, toUtf8 } from '../bytes.js';
import { Callback } from '../callback.js';
import { Execution } from '../execution.js';
import { pairs } from '../results.js';
import { host } from './host.js';
import { select } from './jsonpath.js';

export { reset } from './host.js';
export { cases, check } from './vectors.js';

const ID = '0190d6f0-0000-7000-8000-000000000001';

function selected(path, value) {
  try {
    return JSON.stringify(select(path, value));
  } catch (error) {
    throw { code: 'invalid-path', message: `${path} is no JSONPath: ${error.message}`, retryable: false };
  }
}

/** A body as bytes: a text, bytes, or what is sent as JSON. */
const bodyOf = (body) =>
  body === undefined ? new Uint8Array() : typeof body === 'string' || body instanceof Uint8Array ? toBytes(body) : toUtf8(JSON.stringify(body));

/** What a body says as JSON, if it does. */
function json(body) {
  try {
    return JSON.parse(fromUtf8(body));
  } catch {
    return undefined;
  }
}

/** A received request: a `POST` to `https://example.test/h/key`, but for what is said. */
export function callback(given = {}) {
  const known = ['id', 'method', 'url', 'headers', 'body', 'data', 'environment', 'flow', 'trigger', 'remoteAddress', 'claims', 'receivedAt'];
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TypeError(`a callback has no \`${unknown}\`; it has ${known.join(', ')}`);
  const url = new URL(given.url ?? 'https://example.test/h/key');
  const headers = pairs(given.headers).map(([name, value]) => [name.toLowerCase(), value]);
  const body = bodyOf(given.body);
  const data = 'data' in given ? given.data : json(body);
  const parsed = () => {
    if (data === undefined) throw { code: 'not-parsed', message: 'the body is not parsed yet, or is no JSON', retryable: false };
    return data;
  };
  const stub = {
    id: () => given.id ?? ID,
    environment: () => given.environment ?? 'default',
    flow: () => ('flow' in given ? given.flow : 'test'),
    trigger: () => ('trigger' in given ? given.trigger : 'hook'),
    remoteAddress: () => given.remoteAddress,
    receivedAt: () => BigInt(new Date(given.receivedAt ?? host.now ?? Date.now()).getTime()),
    method: () => (given.method ?? 'POST').toUpperCase(),
    url: () => url.href,
    path: () => url.pathname,
    query: (name) => url.searchParams.getAll(name),
    queryPairs: () => [...url.searchParams],
    header: (name) => {
      const values = headers.filter(([found]) => found === name.toLowerCase()).map(([, value]) => value);
      return values.length > 0 ? values.join(', ') : undefined;
    },
    headers: () => headers.map((pair) => [...pair]),
    bodySize: () => body.length,
    body: () => body.slice(),
    text: () => {
      try {
        return fromUtf8(body, { fatal: true });
      } catch {
        throw { code: 'not-text', message: 'the body is not UTF-8', retryable: false };
      }
    },
    data: () => JSON.stringify(parsed()),
    select: (path) => selected(path, parsed()),
    claims: () => (given.claims === undefined ? undefined : JSON.stringify(given.claims)),
  };
  const noted = (asked) => (...about) => {
    host.callback = stub;
    return asked(...about);
  };
  host.callback = stub;
  return new Callback(Object.fromEntries(Object.entries(stub).map(([name, asked]) => [name, noted(asked)])));
}

/** A run of a flow with this scope. */
export function execution(scope = {}, { id = ID, flow = 'test', environment = 'default' } = {}) {
  return new Execution({
    id: () => id,
    flow: () => flow,
    environment: () => environment,
    scope: () => JSON.stringify(scope),
    select: (path) => selected(path, scope),
  });
}

/** Stores a secret: a text or bytes. */
export const setSecret = (name, value) => void host.secrets.set(name, toBytes(value));

/** Lets time stand still. */
export const setNow = (time) => void (host.now = new Date(time).getTime());

/** Takes the lines that were logged, as `level: message`. */
export const takeLog = () => host.log.splice(0);

/** Answers the requests of `http.send`: `{ status, headers, json | body }`. */
export function onHttp(answer) {
  host.answer = ({ method, url, headers, body }) => {
    const given = answer({ method, url, headers, body, text: body === undefined ? undefined : fromUtf8(body) });
    const { status = 200, headers: sent, json: value, body: bytes } = given;
    const lines = pairs(sent).map(([name, content]) => [name.toLowerCase(), content]);
    return { status, headers: lines, body: bodyOf(value === undefined ? bytes : JSON.stringify(value)) };
  };
}
