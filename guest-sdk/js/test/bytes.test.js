import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64, fromHex, fromUtf8, toBase64, toHex, toUtf8 } from '../src/index.js';

test('texts become the bytes that others make of them, and back', () => {
  const texts = ['', 'plain', 'é', '€', '👩‍💻', 'a\0b', '\ud800', 'x\udc00y', '\ud83d', '\u{10ffff}'.repeat(9000), 'é'.repeat(20_000)];
  for (const text of texts) {
    const expected = new TextEncoder().encode(text);
    assert.deepEqual(toUtf8(text), expected);
    assert.equal(fromUtf8(expected), new TextDecoder().decode(expected));
  }
});

test('what is no UTF-8 is replaced as others replace it, or thrown', () => {
  const wrong = ['80', 'c0af', 'c3', 'e282', 'e28261', 'eda080', 'f5808080', 'f4908080', 'f09f', 'f09f92', 'e08080', 'fe', '41ff42', 'f0808080'];
  for (const hex of wrong) {
    const bytes = fromHex(hex);
    assert.equal(fromUtf8(bytes), new TextDecoder().decode(bytes), hex);
    assert.throws(() => fromUtf8(bytes, { fatal: true }), TypeError, hex);
  }
  // Whatever comes.
  let seed = 1;
  for (let round = 0; round < 2000; round += 1) {
    const bytes = Uint8Array.from({ length: round % 9 }, () => (seed = (seed * 48271) % 2147483647) & 255);
    assert.equal(fromUtf8(bytes), new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
    assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
    assert.equal(toBase64(bytes), Buffer.from(bytes).toString('base64'));
    assert.deepEqual(fromHex(toHex(bytes)), bytes);
  }
});

test('what is no hexadecimal and no base64 is nothing', () => {
  for (const text of ['1', '0g', '0x00', ' 00']) assert.equal(fromHex(text), undefined, text);
  for (const text of ['A', 'AAAAA', 'A=AA', 'AA A', 'é', 'AA===']) assert.equal(fromBase64(text), undefined, text);
  assert.deepEqual(fromHex('00fFAb'), Uint8Array.of(0, 255, 171));
  for (const text of ['+/8=', '-_8=', '-_8']) assert.deepEqual(fromBase64(text), Uint8Array.of(251, 255), text);
});
