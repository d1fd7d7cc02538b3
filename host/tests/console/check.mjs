// The console in a real browser: what a person does, and what must not happen. It says what it has tried; the first thing that is wrong ends it.
import { chromium } from 'playwright-core';
import { readFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const { ADMIN, PUBLIC, TOKEN, CHROMIUM, SHOTS, PLUGIN } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(SHOTS, { recursive: true });
const begun = Date.now();
let checks = 0;
const check = (what) => { checks += 1; console.log(`${((Date.now() - begun) / 1000).toFixed(1)} s  ${what}`); };
const until = async (what, condition, ms = 10_000) => {
  for (const end = Date.now() + ms; Date.now() < end; await new Promise((next) => setTimeout(next, 50))) if (await condition()) return;
  assert.fail(`${what} did not come to be`);
};

const api = async (method, path, body, type = 'application/json') => {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': type };
  const response = await fetch(ADMIN + path, { method, headers, body: type.includes('json') && body ? JSON.stringify(body) : body });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${text}`);
  return text ? JSON.parse(text) : null;
};
const deploy = async (name, source) => {
  const flow = await api('PUT', `/v1/flows/${name}`, source, 'application/yaml');
  return flow.triggers.map((trigger) => trigger.urls.default[trigger.face]);
};
const send = (url, body, headers = {}) =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) });

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
const troubles = [];
const context = async (options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, ...options });
  context.on('page', (page) => {
    page.on('pageerror', (error) => troubles.push(`${page.url()}: ${error}`));
    page.on('dialog', (dialog) => { troubles.push(`${page.url()} opened a dialog`); dialog.dismiss(); });
    page.on('console', (line) => {
      const text = line.text();
      // What was refused on purpose.
      if (line.type() === 'error' && !/status of (400|401|403|404|409|422)/.test(text)) troubles.push(`${page.url()}: ${text}`);
    });
  });
  return context;
};
const signIn = async (context, token = TOKEN) => {
  const page = await context.newPage();
  await page.goto(`${ADMIN}/console`);
  await page.fill('#token', token);
  await page.click('text=Sign in >> nth=-1');
  await page.waitForURL(/callbacks|start/);
  return page;
};
const calm = (page) => page.mouse.move(5, 840);
const axe = async (page, what) => {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const said = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`).join('\n   ')}`);
  assert.deepEqual(said, [], `axe on ${what}`);
  check(`axe: ${what}, ${passes.length} rules`);
};
// Each page as it is in light, in the dark and on a phone: looked at by axe, and kept as a picture.
const look = async (page, name) => {
  const { width, height } = page.viewportSize();
  for (const [how, scheme, size] of [['light', 'light', { width, height }], ['dark', 'dark', { width, height }], ['phone', 'light', { width: 390, height: 844 }]]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize(size);
    await calm(page);
    await page.waitForTimeout(100);
    await page.screenshot({ path: `${SHOTS}/${name}-${how}.png`, fullPage: how !== 'phone' });
    if (how === 'phone') {
      await page.screenshot({ path: `${SHOTS}/${name}-${how}.png`, fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 390, `${name} is ${wide} wide on a phone`);
    }
    await axe(page, `${name}, ${how}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width, height });
};

try {
  const main = await context({ permissions: ['clipboard-read', 'clipboard-write'] });
  {
    const page = await main.newPage();
    await page.goto(`${ADMIN}/console/callbacks?outcome=failed`);
    await look(page, 'sign-in');
    await page.fill('#token', 'wrong');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[role=alert]');
    await axe(page, 'sign-in refused');
    await page.fill('#token', TOKEN);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${ADMIN}/console/callbacks?outcome=failed`);
    const [cookie] = await main.cookies();
    assert.deepEqual([cookie.path, cookie.httpOnly, cookie.sameSite], ['/console', true, 'Lax']);
    check('signed in, and where one wanted to go');
    const other = await context();
    const linked = await other.newPage();
    await linked.goto((await api('POST', '/v1/session/link', null)).url);
    await linked.waitForURL(/console\/start/);
    check('signed in by a link');
    await other.close();
    await page.close();
  }

  const page = await main.newPage();
  await page.goto(`${ADMIN}/console/callbacks`);
  await page.waitForSelector('text=No flow is deployed yet');
  await look(page, 'no-flow');
  await page.goto(`${ADMIN}/console/plugins`);
  await look(page, 'no-plugin');

  // The first way through, in the browser alone: a plugin, a flow that asks it, a callback, and why it was ignored.
  const tour = Date.now();
  const drop = async (name, bytes) => {
    const data = await page.evaluateHandle(([name, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type: 'application/wasm' }));
      return data;
    }, [name, bytes.toString('base64')]);
    await page.dispatchEvent('.drop', 'dragover', { dataTransfer: data });
    await page.dispatchEvent('.drop', 'drop', { dataTransfer: data });
  };
  await page.goto(`${ADMIN}/console`);
  await page.waitForURL(`${ADMIN}/console/start`);
  await look(page, 'start-nothing');
  await drop('notes.wasm', Buffer.from('these are notes'));
  await page.click('text=Upload >> nth=-1');
  await page.waitForSelector('.bad');
  assert.match(await page.textContent('#said'), /Refused; nothing was kept/);
  await look(page, 'start-refused');
  check('what is no plugin is refused beside the file');
  await drop('field_match.wasm', readFileSync(PLUGIN));
  await page.click('.upload button');
  await page.waitForSelector('.step.done');
  await look(page, 'start-plugin');
  check('a plugin is dropped, checked and kept');
  await page.click('text=Write a flow that asks field-match');
  await page.waitForSelector('#source');
  await look(page, 'flow-draft');
  await page.click('text=Deploy version 1');
  await page.waitForSelector('text=Version 1 is deployed.');
  await page.goto(`${ADMIN}/console/callbacks`);
  await page.waitForSelector('text=No callback has come yet');
  await look(page, 'no-callback');
  await page.click('text=Copy as curl >> nth=0');
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^curl -X 'POST' 'http/);
  check('what to send is copied');
  await page.goto(`${ADMIN}/console/start`);
  await look(page, 'start-flow');
  await page.click('text=Send one from here');
  await page.waitForURL(/triggers/);
  await look(page, 'trigger');
  await page.click('text=See what would happen');
  await page.waitForSelector('text=It would be');
  await look(page, 'trigger-tried');
  assert.equal((await api('GET', '/v1/callbacks')).items.length, 0);
  await page.fill('#sample-text', '{"total": 20, "customer": {"name": "Früh", "tags": ["a"]}}');
  await page.click('text=Parse it');
  await page.waitForSelector('text=Put them into the flow');
  await look(page, 'trigger-sample');
  await page.click('text=Put them into the flow');
  await page.waitForSelector('text=nothing has changed yet');
  assert.match(await page.inputValue('#source'), /fields:\n +total: \{ body: "total" \}/);
  await look(page, 'flow-drafted');
  check('a trigger is tried, and fields come from a sample');
  await page.goto(`${ADMIN}/console/start`);
  await page.click('text=Send one from here');
  await page.waitForURL(/triggers/);
  await page.click('text=Send it >> nth=0');
  await page.waitForURL(/callbacks\/[0-9a-f-]{36}$/);
  assert.match(await page.textContent('.verdict h1'), /ignored by condition: the plugin field-match says false/);
  await look(page, 'callback-plugin');
  await page.goto(`${ADMIN}/console/start`);
  assert.equal(await page.locator('.step.done').count(), 4);
  await look(page, 'start-done');
  check(`from nothing to a callback that says why it was ignored, in ${((Date.now() - tour) / 1000).toFixed(0)} s`);
  await page.goto(`${ADMIN}/console/plugins`);
  await page.click('text=Or write one here');
  await page.fill('.write [name=name]', 'large-orders');
  await look(page, 'plugins');
  await page.click('text=Use this one');
  await page.waitForSelector('text=Version 1 is called from now on.');
  check('a condition is written in the browser');
  await page.goto(`${ADMIN}/console/plugins/field-match`);
  await look(page, 'plugin');
  await page.click('text=Remove…');
  await page.click('text=Remove it');
  await page.waitForSelector('text=is needed by the flow field-match');
  await page.goto(`${ADMIN}/console/flows/field-match`);
  await page.click('text=Remove…');
  await axe(page, 'about to remove a flow');
  await page.fill('.sure input', 'field-match');
  await page.click('text=Remove it');
  await page.waitForURL(`${ADMIN}/console/flows`);
  check('a plugin that is needed stays; a flow goes when its name was typed');
  const [orders, paid] = await deploy('orders', 'flow: orders\nsteps:\n  - trigger: Order received\n    when: data.order.total >= 400.0\n    dedupe: { by: "${{ data.id }}" }\n  - trigger: Paid\n  - set: { done: true }\n');
  const [signed] = await deploy('github-push', 'flow: github-push\nsteps:\n  - trigger: Push\n    verify: { scheme: standard-webhooks, secret: HOOKS }\n').catch(() => [null]);
  const [sync] = await deploy('stock-sync', 'flow: stock-sync\nsteps:\n  - trigger: Stock changed\n    reply: { status: 200, json: { seen: "${{ data.sku }}" } }\n');
  await page.goto(`${ADMIN}/console/callbacks`);
  // Live.
  await calm(page);
  const came = Date.now();
  await send(sync, { sku: 'first' });
  await page.waitForSelector('#rows tbody tr >> nth=1');
  assert.ok(Date.now() - came < 2000, `${Date.now() - came} ms`);
  check(`the first row comes live, after ${Date.now() - came} ms`);
  const sent = [];
  for (let n = 0; n < 70; n += 1) {
    const body = { id: `o-${15000 + (n % 60)}`, status: 'processing', order: { total: 295.88 + n * 3, lines: [{ sku: 'A-1', count: n }], note: n % 5 ? null : 'Früh' } };
    sent.push(await send(n % 3 ? orders : sync, n % 11 === 10 ? '{"id": "o-1", "order": ' : { ...body, sku: `s-${n}` }));
  }
  const executions = (await api('GET', '/v1/executions?status=waiting')).items;
  await send(`${paid}?execution=${executions[0].id}`, { paid: true });
  if (signed) await send(signed, { ref: 'refs/heads/topic' });
  await page.goto(`${ADMIN}/console/callbacks`);
  await until('rows', async () => (await page.locator('#rows tbody tr').count()) === 50);
  await look(page, 'callbacks');

  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.equal(await page.locator('#rows tr.at').count(), 1);
  const first = await page.locator('#rows tr.at a').first().getAttribute('href');
  await page.keyboard.press('Enter');
  await page.waitForURL(ADMIN + first);
  check('j, k and Enter');
  await page.goto(`${ADMIN}/console/callbacks`);
  await page.keyboard.press('/');
  await page.keyboard.type('condition');
  await page.keyboard.press('Enter');
  await page.waitForURL(/search=condition/);
  assert.equal(await page.locator('.outcome.started').count(), 0);
  await page.click('.chip:has-text("duplicate")');
  await page.waitForURL(/search=condition&outcome=duplicate/);
  await page.waitForSelector('text=Nothing matches');
  await look(page, 'nothing-matches');
  await page.click('.said a >> nth=0');
  await page.waitForURL(`${ADMIN}/console/callbacks?outcome=duplicate`);
  check('search, chips, and what to leave out');
  await page.goto(`${ADMIN}/console/callbacks`);
  await page.click('.bars a >> nth=-1');
  await page.waitForURL(/since=.*until=/);
  assert.ok(await page.locator('#rows tbody tr').count() > 0);
  check('a bar is its part of the time');
  await page.goto(`${ADMIN}/console/callbacks?since=yesterday`);
  await page.waitForSelector('[role=alert]');
  await axe(page, 'a filter that is wrong');

  // A list that is read does not move.
  await page.goto(`${ADMIN}/console/callbacks`);
  await page.hover('#rows tbody tr >> nth=3');
  const before = await page.locator('#rows tbody tr').first().getAttribute('id');
  await page.waitForTimeout(300);
  await send(sync, { sku: 'while it is read' });
  await until('a count', async () => (await page.locator('#live-said').textContent()) === '1 new');
  assert.equal(await page.locator('#rows tbody tr').first().getAttribute('id'), before);
  await calm(page);
  await until('the row', async () => (await page.locator('#rows tbody tr').first().getAttribute('id')) !== before);
  check('a list that is read does not move');

  // One callback, and what would happen now.
  const ignored = (await api('GET', '/v1/callbacks?outcome=ignored&limit=1')).items[0].id;
  await page.goto(`${ADMIN}/console/callbacks/${ignored}`);
  await look(page, 'callback-ignored');
  await page.click('.json [role=option] >> nth=4');
  await page.keyboard.press('ArrowDown');
  const path = await page.locator('#path code').first().textContent();
  assert.match(path, /^\$\.order/);
  await page.click('#path button >> nth=0');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), path);
  await page.click('text=Copy as curl');
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /--data-raw '\{/);
  check(`paths and curl: ${path}`);
  await deploy('orders', 'flow: orders\nsteps:\n  - trigger: Order received\n    when: data.order.total >= 4.0\n    dedupe: { by: "${{ data.id }}" }\n  - trigger: Paid\n  - set: { done: true }\n');
  await page.keyboard.press('r');
  await page.waitForSelector('text=Replay: what would happen');
  await look(page, 'replay');
  await page.click('text=Send it again');
  await page.waitForURL(/callbacks\/[0-9a-f-]{36}$/);
  assert.ok(!page.url().endsWith(ignored));
  check('replayed, and at the new callback');
  const rejected = (await api('GET', '/v1/callbacks?outcome=rejected&limit=1')).items[0].id;
  await page.goto(`${ADMIN}/console/callbacks/${rejected}`);
  await look(page, 'callback-rejected');
  await page.goto(`${ADMIN}/console/callbacks/nothing`);
  await look(page, 'not-found');
  await page.keyboard.press('?');
  await axe(page, 'the list of keys');
  await page.keyboard.press('Escape');

  // The condition on what has come, and a body that was changed.
  await page.goto(`${ADMIN}/console/flows/orders/triggers/order-received`);
  await page.fill('#when', 'data.order.total >= 400.0');
  await page.click('text=Try it on the last 20 callbacks');
  await page.waitForSelector('text=Another thing would become of');
  await look(page, 'trigger-judged');
  await page.goto(`${ADMIN}/console/callbacks/${ignored}`);
  await page.keyboard.press('r');
  await page.click('text=With another body');
  await page.fill('#body', '{"id": "edited", "order": {"total": 1}}');
  await look(page, 'replay-edited');
  await page.click('text=Send it again');
  await page.waitForSelector('text=Repeats, with another body,');
  check('another condition on what has come, and a replay with another body');

  // Executions.
  await page.keyboard.press('g');
  await page.keyboard.press('e');
  await page.waitForURL(`${ADMIN}/console/executions`);
  await look(page, 'executions');
  await page.click('.chip:has-text("waiting")');
  await page.waitForURL(/status=waiting/);
  await page.click('#rows tbody tr a >> nth=0');
  await look(page, 'execution-waiting');
  await page.click('text=Cancel…');
  await axe(page, 'about to cancel');
  await page.click('text=Cancel it');
  await page.waitForSelector('.verdict.cancelled');
  check('cancelled an execution');
  await page.goto(`${ADMIN}/console/executions/${executions[0].id}`);
  await page.click('.journal summary >> nth=0');
  await look(page, 'execution-completed');

  // Flows: broken, mended, deployed, taken back.
  await page.goto(`${ADMIN}/console/flows`);
  await look(page, 'flows');
  await page.click('text=New flow');
  await look(page, 'flow-new');
  await page.fill('#source', 'flow: shop\nsteps:\n  - trigger: Bought\n    wen: data.total > 1\n  - set: { a: "${{ data. }}" }\n');
  await page.waitForSelector('.mistakes a');
  await page.click('.mistakes a >> nth=0');
  const chosen = await page.evaluate(() => { const f = document.querySelector('#source'); return f.value.slice(f.selectionStart, f.selectionEnd); });
  assert.match(chosen, /^wen/);
  await look(page, 'flow-mistakes');
  await page.fill('#source', 'flow: shop\nsteps:\n  - trigger: Bought\n    when: data.total > 1\n');
  await page.waitForSelector('text=No mistakes. Nothing was deployed.');
  await page.focus('#source');
  await page.keyboard.press('Control+s');
  await page.waitForSelector('text=Version 1 is deployed.');
  check('a flow is broken, mended and deployed');
  await page.fill('#source', 'flow: shop\nsteps:\n  - trigger: Bought\n    when: data.total > 2\n');
  await page.click('text=Deploy version 2');
  await page.waitForSelector('text=Version 2 is deployed.');
  await look(page, 'flow');
  await page.click('.versions a >> nth=1');
  await look(page, 'flow-version');
  await page.click('text=Deploy this again');
  await page.waitForSelector('text=Version 3 is deployed.');
  assert.match(await page.inputValue('#source'), /> 1/);
  check('taken back');
  // What was typed is not lost with the session.
  await page.fill('#source', 'flow: shop\nsteps:\n  - trigger: Bought\n    when: data.total > 77\n');
  await page.waitForTimeout(600);
  const cookies = await main.cookies();
  await main.clearCookies();
  await page.reload();
  await page.waitForSelector('#token');
  await page.fill('#token', TOKEN);
  await page.keyboard.press('Enter');
  await page.waitForSelector('text=This is what you typed before');
  assert.match(await page.inputValue('#source'), /> 77/);
  check(`what was typed survives a lost session (${cookies.length} cookie)`);

  // Tickets, environments, people, settings.
  await page.goto(`${ADMIN}/console/tickets`);
  await look(page, 'no-ticket');
  await page.click('text=New ticket');
  await page.selectOption('[name=handler]', 'none');
  await page.fill('#body', 'thanks');
  await look(page, 'ticket-new');
  await page.click('text=Make it');
  await page.waitForSelector('text=It is made');
  await look(page, 'ticket');
  assert.equal((await fetch(await page.textContent('#url'))).status, 200);
  await page.goto(`${ADMIN}/console/tickets`);
  await look(page, 'tickets');
  check('a ticket is made, and called');
  await page.goto(`${ADMIN}/console/environments`);
  await page.fill('[name=name]', 'staging');
  await page.fill('[name=prefix]', 'st1');
  await page.click('text=Make it');
  await page.waitForURL(/environments\/staging/);
  await page.fill('[name=var]', 'shop_url');
  await page.fill('#value', 'https://shop.example');
  await page.click('text=Set it');
  await page.waitForSelector('text=It counts from the next step on.');
  await look(page, 'environment');
  await page.goto(`${ADMIN}/console/environments`);
  await look(page, 'environments');
  await page.goto(`${ADMIN}/console/people`);
  await page.fill('[name=id]', 'jane');
  await page.fill('[name=roles]', 'clerk');
  await page.click('text=Make a user');
  await page.waitForURL(/people\/jane/);
  await page.click('text=Make a token');
  await page.waitForSelector('#made');
  await look(page, 'user');
  await page.goto(`${ADMIN}/console/people`);
  await page.fill('[name=name]', 'for the shop');
  await page.click('text=Make a token');
  await page.waitForSelector('#made');
  await look(page, 'people');
  await page.goto(`${ADMIN}/console/settings`);
  await look(page, 'settings');
  check('an environment, a variable, a user, tokens, settings');
  await page.setViewportSize({ width: 390, height: 844 });
  await page.click('text=Menu');
  await axe(page, 'the menu on a phone');
  await page.screenshot({ path: `${SHOTS}/menu-phone.png` });
  await page.click('.menu >> text=Settings');
  await page.waitForURL(`${ADMIN}/console/settings`);
  await page.setViewportSize({ width: 1360, height: 850 });
  check('the menu on a phone');

  // Secrets.
  await page.goto(`${ADMIN}/console/secrets`);
  await look(page, 'no-secret');
  await page.fill('[name=name]', 'HOOKS');
  await page.click('text=Generate');
  await page.waitForSelector('text=Generated and copied');
  const generated = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(generated, /^whsec_[A-Za-z0-9+/]{43}=$/);
  await page.click('text=Set it');
  await page.waitForSelector('text=counts from the next callback on');
  assert.ok(!(await page.content()).includes(generated));
  await look(page, 'secrets');
  check('a secret is generated, set, and not seen again');

  // Hostile callbacks, seen and told live.
  const evil = `</td><script>document.title='pwned'</script><img src=x onerror="document.title='pwned'">\u202egnp.exe\u2066\u200b'";\${7*7}{{7*7}}`;
  await page.goto(`${ADMIN}/console/callbacks`);
  await calm(page);
  const answer = await send(`${sync}?${encodeURIComponent(evil)}=${encodeURIComponent(evil)}`, { [evil]: evil, sku: evil }, { 'x-evil': evil.replace(/[^\x20-\x7e]/g, '') });
  await send(orders, evil);
  const id = answer.headers.get('ringback-callback');
  await page.waitForSelector(`#c-${id}`);
  for (const as of ['pretty', 'raw', 'hex']) {
    await page.goto(`${ADMIN}/console/callbacks/${id}?body=${as}`);
    assert.notEqual(await page.title(), 'pwned');
    assert.equal(await page.locator('main script, main img').count(), 0);
    const text = await page.locator('main').textContent();
    assert.ok(!/[\u202e\u2066\u200b]/.test(text), 'what turns a line around is shown as an escape');
  }
  await page.goto(`${ADMIN}/console/callbacks/${id}`);
  await page.click('main summary >> nth=0');
  await look(page, 'hostile');
  check('hostile callbacks are text');

  // Nine pages of one browser, and one connection.
  const tabs = [];
  for (let n = 0; n < 9; n += 1) {
    const tab = await main.newPage();
    await tab.goto(`${ADMIN}/console/callbacks`);
    await calm(tab);
    tabs.push(tab);
  }
  const everywhere = async (body, tabs) => {
    const id = (await send(sync, body)).headers.get('ringback-callback');
    for (const tab of tabs) await tab.waitForSelector(`#c-${id}`, { state: 'attached', timeout: 10_000 });
  };
  await everywhere({ sku: 'nine' }, tabs);
  await tabs[0].close();
  await tabs[1].close();
  await everywhere({ sku: 'seven' }, tabs.slice(2));
  check('nine tabs, and seven after the one that listened has gone');
  for (const tab of tabs.slice(2)) await tab.close();

  // Without JavaScript.
  const plain = await context({ javaScriptEnabled: false });
  const quiet = await signIn(plain);
  await quiet.fill('#search', 'condition');
  await quiet.click('text=Filter');
  await quiet.click('#rows tbody tr a >> nth=0');
  await quiet.waitForSelector('text=Its way through the stages');
  await quiet.click('text=Replay…');
  await quiet.waitForSelector('text=Replay: what would happen');
  check('without JavaScript');
  await plain.close();

  // Access ends.
  const made = await api('POST', '/v1/tokens', { name: 'guest', access: 'viewer' });
  const guests = await context();
  const guest = await signIn(guests, made.token);
  await guest.goto(`${ADMIN}/console/callbacks/${ignored}`);
  assert.equal(await guest.locator('text=Replay…').count(), 0);
  await look(guest, 'callback-viewer');
  await guest.goto(`${ADMIN}/console/callbacks?outcome=ignored`);
  await api('DELETE', `/v1/tokens/${made.id}`);
  await guest.reload();
  await guest.waitForSelector('#token');
  assert.match(guest.url(), /next=/);
  await guest.fill('#token', TOKEN);
  await guest.keyboard.press('Enter');
  await guest.waitForURL(`${ADMIN}/console/callbacks?outcome=ignored`);
  check('a session ends with its token, and goes on where it was');
  await guests.close();

  // A form on the public side of the same host is not one of ours.
  const attacker = await main.newPage();
  await attacker.route(`${PUBLIC}/attack`, (route) => route.fulfill({ contentType: 'text/html', body: `<form method="post" action="${ADMIN}/console/logout"></form>` }));
  await attacker.goto(`${PUBLIC}/attack`);
  const forged = attacker.waitForResponse((response) => response.url().includes('/console/logout'));
  await attacker.evaluate(() => document.forms[0].submit());
  assert.equal((await forged).status(), 403);
  await page.goto(`${ADMIN}/console/callbacks`);
  assert.equal(await page.locator('#rows').count(), 1);
  check('a form on another port is refused');
  await page.click('text=Sign out');
  await page.waitForSelector('#token');
  await page.goto(`${ADMIN}/console/callbacks`);
  await page.waitForSelector('#token');
  check('signed out');

  assert.deepEqual(troubles, [], 'nothing broke a rule of the pages or failed');
  console.log(`console: ${checks} checks in ${((Date.now() - begun) / 1000).toFixed(0)} s, 0 failures`);
} finally {
  await browser.close();
}
