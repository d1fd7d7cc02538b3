// What stands in for a host answers, and fails, as a host does.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import { Failure, http, log, now, randomUUID, secrets, state } from '../src/index.js';
import { callback, execution, onHttp, reset, setNow, setSecret, takeLog } from '../src/testing/index.js';

beforeEach(reset);

test('a callback has what it was given', () => {
  const made = callback({ url: 'https://a.test/x?b=1&b=2&c=%20', headers: { 'X-A': '1' }, body: { n: [1, 2] }, claims: { of: 'c' } });
  assert.deepEqual([made.method, made.path, made.query('b'), made.queryAll('b'), made.query('d')], ['POST', '/x', '1', ['1', '2'], undefined]);
  assert.deepEqual([made.header('x-a'), made.header('x-b'), made.headers], ['1', undefined, [['x-a', '1']]]);
  assert.deepEqual([made.data, made.get('$.n[1]'), made.select('$.n[*]'), made.bodySize], [{ n: [1, 2] }, 2, [1, 2], 11]);
  assert.deepEqual([made.claims, made.flow, made.remoteAddress, callback({ flow: undefined }).flow], [{ of: 'c' }, 'test', undefined, undefined]);
  assert.throws(() => callback({ heders: {} }), { message: /^a callback has no `heders`/ });
  assert.throws(() => made.select('$['), { name: 'Failure', code: 'invalid-path' });
  assert.throws(() => callback({ body: 'text' }).data, { code: 'not-parsed' });
  assert.throws(() => callback({ body: Uint8Array.of(255) }).text, { code: 'not-text' });
  assert.equal(execution({ data: { a: 1 } }).get('$.data.a'), 1);
});

test('keyed hashes are those of parts, in every form', () => {
  setSecret('KEY', 'key');
  setSecret('HEX', '6b6579');
  const hex = 'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8';
  const message = ['The quick ', secrets.BODY];
  callback({ body: 'brown fox jumps over the lazy dog' });
  assert.equal(secrets.verifyHmac('KEY', { message, hex }), true);
  assert.equal(secrets.verifyHmac('HEX', { message, hex: hex.toUpperCase(), key: 'hex' }), true);
  assert.equal(secrets.verifyHmac('KEY', { message, base64: '97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg' }), true);
  for (const sent of [{ hex: hex.replace('f7', 'f8') }, { hex: undefined }, { hex: '' }, { base64: hex }, { bytes: new Uint8Array() }]) {
    assert.equal(secrets.verifyHmac('KEY', { message, ...sent }), false);
  }
  assert.throws(() => secrets.verifyHmac('KEY', { message }), TypeError);
  assert.throws(() => secrets.verifyHmac('NONE', { hex }), { code: 'unknown-secret' });
  assert.throws(() => secrets.verifyHmac('KEY', { hex, key: 'hex' }), { code: 'invalid-key' });
  reset();
  setSecret('KEY', 'key');
  assert.throws(() => secrets.verifyHmac('KEY', { hex }), { code: 'no-callback' });
  assert.deepEqual([secrets.equals('KEY', 'key'), secrets.equals('KEY', 'kez'), secrets.equals('KEY', undefined)], [true, false, false]);
});

test('signatures are verified with keys in every form', () => {
  callback({ body: 'signed' });
  const wrong = Buffer.from('other');
  for (const [algorithm, kind, options, hash, how] of [
    ['ed25519', 'ed25519', {}, null, {}],
    ['ecdsa-p256-sha256', 'ec', { namedCurve: 'P-256' }, 'sha256', {}],
    ['ecdsa-p384-sha384', 'ec', { namedCurve: 'P-384' }, 'sha384', { dsaEncoding: 'ieee-p1363' }],
    ['rsa-pkcs1-sha256', 'rsa', { modulusLength: 2048 }, 'sha256', {}],
    ['rsa-pss-sha256', 'rsa', { modulusLength: 2048 }, 'sha256', { padding: 6, saltLength: 32 }],
  ]) {
    const { publicKey, privateKey } = generateKeyPairSync(kind, options);
    setSecret('PEM', publicKey.export({ type: 'spki', format: 'pem' }));
    setSecret('DER', publicKey.export({ type: 'spki', format: 'der' }).toString('base64'));
    const made = (message) => sign(hash, message, { key: privateKey, ...how }).toString('base64');
    for (const key of ['PEM', 'DER']) {
      assert.equal(secrets.verifySignature(key, { algorithm, base64: made(Buffer.from('signed')) }), true, algorithm);
      assert.equal(secrets.verifySignature(key, { algorithm, base64: made(wrong) }), false, algorithm);
    }
    const other = kind === 'rsa' ? 'ed25519' : 'rsa-pkcs1-sha256';
    assert.throws(() => secrets.verifySignature('PEM', { algorithm: other, hex: '' }), { code: 'invalid-key' });
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  setSecret('RAW', publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64'));
  const bytes = new Uint8Array(sign(null, Buffer.from('signed'), privateKey));
  assert.equal(secrets.verifySignature('RAW', { algorithm: 'ed25519', bytes }), true);
});

test('state, time, log and requests', () => {
  assert.equal(state.get('a'), undefined);
  state.set('a', { n: 1 });
  assert.deepEqual(state.get('a'), { n: 1 });
  state.remove('a');
  assert.equal(state.get('a'), undefined);
  assert.throws(() => state.set('', 1), { code: 'too-large' });
  assert.throws(() => state.setBytes('a', 'x'.repeat(65537)), { code: 'too-large' });
  assert.throws(() => state.set('a', undefined), TypeError);
  setNow('2026-01-31T08:00:00Z');
  assert.equal(now().toISOString(), '2026-01-31T08:00:00.000Z');
  assert.match(randomUUID(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  log.warn('a', 1, { b: [2n.toString()] }, new TypeError('c'), undefined);
  assert.deepEqual(takeLog(), ['warn: a 1 {"b":["2"]} TypeError: c undefined']);
  assert.throws(() => http.send('https://a.test/'), { name: 'Failure', code: 'host-not-allowed' });
  onHttp(({ method, url, text, headers }) => {
    if (url.endsWith('/gone')) throw new Failure('unreachable', 'nobody', { retryable: true });
    return { status: 201, headers: { 'X-A': '1' }, json: { method, text, type: headers[0]?.[1] } };
  });
  const answer = http.send('https://a.test/', { json: [1] });
  assert.deepEqual([answer.ok, answer.json], [true, { method: 'POST', text: '[1]', type: 'application/json' }]);
  assert.throws(() => http.send('https://a.test/gone'), { retryable: true });
});
