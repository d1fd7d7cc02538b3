// Adyen's notifications: signed over eight fields of each item, with a key in hexadecimal, in base64 within the item itself.

import { accept, Failure, reject, secrets } from '@ringback/plugin';

export const schema = {
  verifier: {
    type: 'object',
    properties: {
      secret: { type: 'string', description: 'the secret with the HMAC key of the webhook, in hexadecimal as Adyen shows it' },
      live: { type: 'boolean', description: 'whether notifications are to be live; either kind where it is not said' },
    },
    required: ['secret'],
    additionalProperties: false,
  },
  parser: { type: 'object', additionalProperties: false },
};

/** The items of a notification. */
function items(callback) {
  let body;
  try {
    body = JSON.parse(callback.text);
  } catch (error) {
    throw new Failure('not-json', `the body is no notification: ${error.message}`);
  }
  const found = body?.notificationItems;
  if (!Array.isArray(found) || found.length === 0) throw new Failure('no-items', 'the body has no notificationItems');
  return { live: body.live === 'true' || body.live === true, items: found.map((item) => item?.NotificationRequestItem ?? {}) };
}

/** What is signed of an item. */
function signed(item) {
  const { pspReference, originalReference, merchantAccountCode, merchantReference, amount, eventCode, success } = item;
  const fields = [pspReference, originalReference, merchantAccountCode, merchantReference, amount?.value, amount?.currency, eventCode, success];
  return fields.map((field) => field ?? '').join(':');
}

/** @type {import('@ringback/plugin').Verifier<{ secret: string, live?: boolean }>} */
export function verifier(callback, { config }) {
  let notification;
  try {
    notification = items(callback);
  } catch (error) {
    return reject(error.message);
  }
  for (const [index, item] of notification.items.entries()) {
    const base64 = item.additionalData?.hmacSignature;
    if (typeof base64 !== 'string') return reject(`item ${index} has no hmacSignature`);
    if (!secrets.verifyHmac(config.secret, { key: 'hex', message: signed(item), base64 })) {
      return reject(`the signature of item ${index} is wrong`);
    }
  }
  if (config.live !== undefined && config.live !== notification.live) {
    return reject(`it is ${notification.live ? 'live' : 'a test'}`);
  }
  const [first] = notification.items;
  const references = notification.items.map(({ pspReference, eventCode, success }) => `${pspReference}/${eventCode}/${success}`);
  return accept({ deliveryId: references.join(','), subject: first.merchantAccountCode });
}

/** The items alone, without what wraps each and with `success` as what it means. */
export function parser(callback) {
  const { live, items: found } = items(callback);
  return {
    live,
    items: found.map(({ additionalData, success, ...item }) => ({ ...item, success: success === 'true' || success === true })),
  };
}

// The key and the signature are those of the tests of Adyen's own libraries.
const KEY = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';

const notification = (change = {}, live = 'false') => ({
  live,
  notificationItems: [
    {
      NotificationRequestItem: {
        additionalData: { hmacSignature: 'coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=' },
        amount: { value: 1130, currency: 'EUR' },
        pspReference: '7914073381342284',
        eventCode: 'AUTHORISATION',
        merchantAccountCode: 'TestMerchant',
        merchantReference: 'TestPayment-1407325143704',
        success: 'true',
        ...change,
      },
    },
  ],
});

const verifies = (name, body, expect, config = {}) => ({
  name,
  role: 'verifier',
  config: { secret: 'ADYEN_HMAC_KEY', ...config },
  secrets: { ADYEN_HMAC_KEY: KEY },
  callback: { body },
  expect,
});

/** @type {import('@ringback/plugin').Vector[]} */
export const vectors = [
  verifies('a notification of Adyen', notification(), {
    accepted: { subject: 'TestMerchant', delivery_id: '7914073381342284/AUTHORISATION/true' },
  }),
  verifies('another amount', notification({ amount: { value: 113000, currency: 'EUR' } }), { rejected: 'the signature of item 0 is wrong' }),
  verifies('another outcome', notification({ success: 'false' }), { rejected: 'the signature of item 0 is wrong' }),
  verifies('no signature', notification({ additionalData: {} }), { rejected: 'item 0 has no hmacSignature' }),
  verifies('no items', { live: 'false', notificationItems: [] }, { rejected: 'the body has no notificationItems' }),
  verifies('no JSON', 'hello', { rejected: 'the body is no notification' }),
  verifies('a test where live ones are wanted', notification(), { rejected: 'it is a test' }, { live: true }),
  {
    name: 'the items alone',
    role: 'parser',
    callback: { body: notification() },
    expect: {
      data: {
        live: false,
        items: [
          {
            amount: { value: 1130, currency: 'EUR' },
            pspReference: '7914073381342284',
            eventCode: 'AUTHORISATION',
            merchantAccountCode: 'TestMerchant',
            merchantReference: 'TestPayment-1407325143704',
            success: true,
          },
        ],
      },
    },
  },
];
