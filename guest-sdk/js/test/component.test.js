// What the host gets from the functions of an author.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { accept, Failure, reject } from '../src/index.js';
import { condition, configurable, parser, responder, step, vectors, verifier } from '../src/component.js';
import { reset, takeLog } from '../src/testing/index.js';

beforeEach(reset);

/** What a call throws, as the host takes it. */
function failure(work) {
  try {
    work();
  } catch (thrown) {
    assert.ok(!(thrown instanceof Error), String(thrown));
    return thrown;
  }
  throw new Error('nothing was thrown');
}

const evaluate = (made, config = 'null') => condition({ condition: () => made }).evaluate({}, undefined, config);

test('a condition says whether, and why', () => {
  assert.deepEqual(evaluate(true), { holds: true, reason: undefined });
  assert.deepEqual(evaluate({ holds: false, reason: 'small' }), { holds: false, reason: 'small' });
  for (const [made, what] of [
    [undefined, 'undefined'],
    [1, '1'],
    ['yes', 'the text "yes"'],
    [{ hold: true }, 'an object with hold'],
    [{ holds: 'yes' }, 'an object with holds'],
    [[], 'a list'],
  ]) {
    const { code, message } = failure(() => evaluate(made));
    assert.deepEqual([code, message], ['wrong-result', `the condition returned ${what}; it is to return true, false, or { holds, reason }`]);
  }
  assert.match(failure(() => evaluate({ holds: true, reason: 7 })).message, /returned 7 as `reason`/);
  assert.equal(failure(() => evaluate(Promise.resolve(true))).code, 'promise');
});

test('a configuration is an object where there is none', () => {
  const seen = [];
  const made = condition({ condition: (_, context) => (seen.push(context), true) });
  made.evaluate({}, undefined, 'null');
  made.evaluate({}, { id: () => 'e' }, '{"a":1}');
  assert.deepEqual([seen[0].config, seen[0].execution, seen[1].config, seen[1].execution.id], [{}, undefined, { a: 1 }, 'e']);
});

test('a verifier accepts or rejects', () => {
  const verify = (made) => verifier({ verifier: () => made }).verify({}, 'null');
  assert.deepEqual(verify(accept()), { tag: 'accepted', val: { deliveryId: undefined, subject: undefined, claims: undefined } });
  assert.equal(verify(accept({ claims: { a: 1 } })).val.claims, '{"a":1}');
  assert.deepEqual(verify(reject('no')), { tag: 'rejected', val: 'no' });
  for (const made of [true, undefined, {}, { accepted: true }, { rejected: undefined }]) {
    assert.match(failure(() => verify(made)).message, /it is to return accept\(…\) or reject\(why\)$/);
  }
});

test('data and results are JSON', () => {
  assert.equal(parser({ parser: () => [1, null] }).parse({}, 'null'), '[1,null]');
  assert.equal(step({ step: () => null }).run({}, 'null'), 'null');
  assert.match(failure(() => step({ step: () => {} }).run({}, 'null')).message, /the step returned undefined; .* null, where/);
  assert.match(failure(() => step({ step: () => 1n }).run({}, 'null')).message, /^TypeError: /);
});

test('an answer has a status, headers and a body', () => {
  const respond = (made) => responder({ responder: () => made }).respond({}, undefined, 'null');
  const text = new TextDecoder();
  const json = respond({ status: 201, json: { a: 1 } });
  assert.deepEqual([json.status, json.headers, text.decode(json.body)], [201, [['content-type', 'application/json']], '{"a":1}']);
  const plain = respond({ headers: { 'Content-Type': 'text/html' }, body: '<p>' });
  assert.deepEqual([plain.status, plain.headers, text.decode(plain.body)], [200, [['Content-Type', 'text/html']], '<p>']);
  assert.deepEqual(respond({ status: 204 }), { status: 204, headers: [], body: new Uint8Array() });
  for (const made of [undefined, 'text', { status: '200' }, { body: 7 }]) assert.equal(failure(() => respond(made)).code, 'wrong-result');
});

test('what is thrown has its message, its place and its stack', () => {
  globalThis.__ringback_lines = undefined;
  const thrown = new TypeError('no total');
  thrown.stack = '    at total (/component.js:12:5)\n    at evaluate (/component.js:40:9)\n    at native\n';
  const thrower = condition({
    condition: () => {
      throw thrown;
    },
  });
  assert.equal(failure(() => thrower.evaluate({}, undefined, 'null')).message, 'TypeError: no total (line 12)');
  takeLog();
  globalThis.__ringback_lines = { sources: ['plugin.ts', 'other.ts'], runs: [[0, -1, 0], [10, 0, 6], [20, 1, 0], [30, -1, 0]] };
  const { code, message, retryable } = failure(() => thrower.evaluate({}, undefined, 'null'));
  assert.deepEqual([code, message, retryable], ['exception', 'TypeError: no total (plugin.ts:8)', false]);
  assert.deepEqual(takeLog(), ['error: TypeError: no total\n    at total (plugin.ts:8)']);
});

test('a failure is the author\'s own', () => {
  const fail = (more) => () => {
    throw new Failure('no-rate', 'there is no rate', more);
  };
  const own = failure(() => step({ step: fail({ retryable: true, detail: { a: 1 } }) }).run({}, 'null'));
  assert.deepEqual(own, { code: 'no-rate', message: 'there is no rate', retryable: true, pointer: undefined, detail: '{"a":1}' });
  assert.deepEqual(takeLog(), []);
});

test('a configuration is described, and checked', () => {
  const schema = { type: 'object' };
  const one = configurable({ schema, check: ({ minimum }, { role }) => (minimum > 0 ? undefined : `${role}: \`minimum\` is missing`) });
  assert.equal(one.schema('step'), '{"type":"object"}');
  assert.equal(one.check('step', '{"minimum":1}'), undefined);
  const { code, message } = failure(() => one.check('step', 'null'));
  assert.deepEqual([code, message], ['invalid-config', 'step: `minimum` is missing']);
  const several = configurable({ schema: { step: schema } });
  assert.deepEqual([several.schema('step'), several.schema('parser'), several.check('step', 'null')], ['{"type":"object"}', undefined, undefined]);
  const pointed = configurable({
    check: () => {
      throw new Failure('invalid-config', 'too small', { pointer: '/minimum' });
    },
  });
  assert.equal(failure(() => pointed.check('step', '1')).pointer, '/minimum');
  assert.throws(() => configurable({ check: 7 }), { message: '`check` is exported, and is no function' });
  assert.throws(() => step({ step: 7 }), { message: '`step` is exported, and is no function' });
  assert.equal(vectors({ vectors: [{ name: 'a' }] }).cases(), '[{"name":"a"}]');
});

test('what programs expect is there', () => {
  assert.deepEqual(new TextEncoder().encode('é'), Uint8Array.of(0xc3, 0xa9));
  assert.equal(new TextDecoder().decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), 'a');
  assert.throws(() => new TextDecoder('latin1'), RangeError);
  assert.notEqual(Math.random(), Math.random());
  assert.equal(crypto.getRandomValues(new Uint8Array(5000)).length, 5000);
  console.log('a', 1);
  assert.deepEqual(takeLog(), ['info: a 1']);
});
