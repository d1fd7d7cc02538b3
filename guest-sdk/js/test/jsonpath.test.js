import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { select } from '../src/testing/jsonpath.js';

const suite = JSON.parse(readFileSync(new URL('../../../host/tests/conformance/jsonpath-cts.json', import.meta.url), 'utf8'));

test('paths select what the suite of RFC 9535 says', () => {
  const wrong = [];
  for (const { name, selector, document, result, results, invalid_selector: isInvalid } of suite.tests) {
    let found;
    try {
      found = select(selector, document ?? null);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      if (!isInvalid) wrong.push(`${name}: ${selector}: ${error.message}`);
      continue;
    }
    if (isInvalid) {
      wrong.push(`${name}: ${selector} is taken`);
      continue;
    }
    const allowed = (results ?? [result]).map((values) => JSON.stringify(values));
    if (!allowed.includes(JSON.stringify(found))) wrong.push(`${name}: ${selector}: ${JSON.stringify(found)}`);
  }
  assert.ok(suite.tests.length > 600, `${suite.tests.length}`);
  assert.deepEqual(wrong, []);
});
