import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Failure, accept, http, reject, secrets, state } from '../src/index.js';
import { check } from '../src/testing/index.js';

const plugin = {
  verifier: (callback) => (secrets.equals('KEY', callback.header('X-Key')) ? accept({ subject: 'shop', claims: { a: 1 } }) : reject('a wrong key')),
  parser: (callback) => ({ text: callback.text, hidden: callback.data }),
  condition: (callback, { config, execution }) =>
    execution === undefined && callback.data.total >= config.minimum ? true : { holds: false, reason: 'too small' },
  step(execution) {
    if (execution.get('$.fail')) throw new Failure('no-rate', 'there is none');
    if (execution.get('$.throw')) throw new TypeError('a mistake');
    const { n = 0 } = state.get('n') ?? {};
    state.set('n', { n: n + 1 });
    return { n, answer: execution.get('$.url') === undefined ? null : http.send(execution.get('$.url')).json };
  },
  responder: (callback, { execution }) => ({ status: 201, headers: { 'X-Id': execution.id }, json: { got: callback.bodySize } }),
};

const small = { name: 'small', role: 'condition', config: { minimum: 10 }, callback: { body: { total: 9 } } };
const right = { name: 'right', role: 'verifier', secrets: { KEY: 'k' }, callback: { headers: { 'x-key': 'k' } } };
const step = { name: 'step', role: 'step' };
const reply = { name: 'reply', role: 'responder', execution: { id: 'e' }, callback: { body: 'four' } };

test('what differs fails', () => {
  for (const [one, said] of [
    [{ ...small, expect: { holds: true } }, /small: holds/],
    [{ ...small, expect: { holds: false, reason: 'too large' } }, /"too small", without "too large"/],
    [{ ...small, role: 'none', expect: { holds: false } }, /no function named none/],
    [{ ...right, expect: { rejected: true } }, /expected is rejected/],
    [{ ...right, expect: { accepted: { subject: 'other' } } }, /right: subject/],
    [{ ...right, expect: { accepted: { claims: { a: 2 } } } }, /right: claims/],
    [{ ...right, secrets: { KEY: 'l' }, expect: { accepted: {} } }, /expected is accepted/],
    [{ ...right, secrets: {}, expect: { accepted: {} } }, /no secret named KEY/],
    [{ ...step, expect: { result: { n: 1, answer: null } } }, /step: result/],
    [{ ...step, execution: { scope: { throw: 1 } }, expect: { result: 1 } }, /a mistake/],
    [{ ...step, execution: { scope: { url: 'https://a.test/' } }, expect: { result: 1 } }, /no answer to a request/],
    [{ ...step, execution: { scope: { fail: 1 } }, expect: { failure: 'other' } }, /step: failure/],
    [{ ...step, expect: { failure: 'no-rate' } }, /expected is failure/],
    [{ ...reply, expect: { reply: { status: 200 } } }, /its status/],
    [{ ...reply, expect: { reply: { headers: { 'x-id': 'f' } } } }, /x-id is e, not f/],
    [{ ...reply, expect: { reply: { body: { got: 5 } } } }, /its body/],
    [{ name: 'early', role: 'parser', callback: { body: {} }, expect: { data: {} } }, /not parsed/],
  ]) {
    assert.throws(() => check(plugin, one), said, JSON.stringify(one));
  }
});

test('what is expected passes, and leaves nothing behind', () => {
  for (const one of [
    { ...small, expect: { holds: false, reason: 'small' } },
    { ...small, data: { total: 11 }, expect: { holds: true } },
    { ...right, expect: { accepted: { subject: 'shop', claims: { a: 1 } } } },
    { ...right, callback: {}, expect: { rejected: 'wrong key' } },
    { ...right, secrets: {}, expect: { failure: 'unknown-secret' } },
    { ...step, expect: { result: { n: 0, answer: null } } },
    { ...step, expect: { result: { n: 0, answer: null } } },
    { ...step, state: { n: '{"n":7}' }, expect: { result: { n: 7, answer: null } } },
    { ...step, execution: { scope: { throw: 1 } }, expect: { failure: 'exception' } },
    { ...step, execution: { scope: { fail: 1 } }, expect: { failure: 'no-rate' } },
    {
      ...step,
      execution: { scope: { url: 'https://a.test/' } },
      http: [{ url: 'https://a.test/', body: { b: 1 } }],
      expect: { result: { n: 0, answer: { b: 1 } } },
    },
    { ...reply, expect: { reply: { status: 201, headers: { 'x-id': 'e' }, body: { got: 4 } } } },
    { name: 'early', role: 'parser', callback: { body: {} }, expect: { failure: 'not-parsed' } },
  ]) {
    check(plugin, one);
  }
});
