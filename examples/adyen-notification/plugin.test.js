// The cases that the plugin brings along, without a server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callback, setSecret } from '@ringback/plugin/testing';
import { parser, vectors, verifier } from './plugin.js';

for (const { name, role, config = {}, secrets = {}, callback: sent, expect } of vectors) {
  test(name, () => {
    for (const [secret, value] of Object.entries(secrets)) setSecret(secret, value);
    const received = callback(sent);
    if (role === 'parser') return assert.deepEqual(parser(received, { config }), expect.data);
    const verdict = verifier(received, { config });
    if (expect.rejected !== undefined) return assert.ok(verdict.rejected?.includes(expect.rejected), JSON.stringify(verdict));
    assert.deepEqual(verdict.accepted, { deliveryId: expect.accepted.delivery_id, subject: expect.accepted.subject });
  });
}
