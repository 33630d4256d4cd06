// Looks at the status page in headless Chromium: states, filters, keys, refresh, phones, hostile names, no script, and
// accessibility. Prints every problem and fails if there is one. Screenshots are kept.
//
// usage: check.mjs --demo URL --hostile URL --folder SCREENSHOTS
//        check.mjs --demo URL --pictures docs/images      (the pictures of the documentation)

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options } = parseArgs({
  options: {
    demo: { type: 'string' }, hostile: { type: 'string' }, folder: { type: 'string' }, pictures: { type: 'string' },
  },
});
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 900 };
let problems = 0;

function browserFile() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, 'chromium')).find(existsSync);
}

// Runs a check on a new page, which must not report an error.
async function check(browser, what, settings, run) {
  const context = await browser.newContext({ viewport: DESKTOP, ...settings });
  const page = await context.newPage();
  const errors = [];
  const origins = new Set();
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('dialog', (dialog) => { errors.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (sent) => origins.add(new URL(sent.url()).origin));
  try {
    await run(page, context, errors);
    assert.deepEqual(errors, [], 'errors in the console');
    assert.ok(origins.size <= 1, `requests to ${[...origins]}`);
    console.log(`ok: ${what}`);
  } catch (error) {
    problems += 1;
    console.log(`PROBLEM: ${what}: ${error.message}`);
  }
  await context.close();
}

async function shot(page, name) {
  await page.screenshot({ path: join(options.folder, `${name}.png`), fullPage: true });
}

// Checks what must hold on every page: nothing is cut off, and axe-core finds nothing.
async function assertUsable(page, context) {
  const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= screen, `the page is ${content} wide, the screen ${screen}`);
  // The policy of the page allows no script of others, so axe runs in a world of its own.
  const session = await context.newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
      contextId: executionContextId, expression, awaitPromise: true, returnByValue: true,
    });
    assert.ok(!exceptionDetails, exceptionDetails?.exception?.description);
    return result.value;
  };
  await evaluate(`${axe}; 0`);
  const violations = await evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map((node) => node.target + ' ' + node.failureSummary).join('; ')))`);
  assert.deepEqual(violations, [], 'axe-core');
}

const names = (page) => page.locator('.list tbody .name > a bdi').allTextContents();

async function everyLook(browser) {
  const paths = { overview: '', down: 'targets/postgres-hung', certificate: 'targets/tls-expired', flapping: 'targets/comes-and-goes', up: 'targets/tls' };
  for (const [name, path] of Object.entries(paths)) {
    for (const colorScheme of ['light', 'dark']) {
      for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
        await check(browser, `${name}, ${colorScheme}, ${size}`, { colorScheme, viewport }, async (page, context) => {
          await page.goto(options.demo + path);
          await page.locator('details').evaluateAll((all) => all.slice(0, 2).forEach((details) => { details.open = true; }));
          await assertUsable(page, context);
          await shot(page, `${name}-${size}-${colorScheme}`);
        });
      }
    }
  }
}

async function filters(browser) {
  await check(browser, 'search, filter and remove a filter', {}, async (page) => {
    await page.goto(options.demo);
    assert.equal((await names(page)).length, 32);
    await page.getByLabel('Search').fill('TLS-exp');
    await page.keyboard.press('Enter');
    await page.waitForURL(/text=TLS-exp/);
    assert.deepEqual(await names(page), ['tls-expired', 'tls-expiring']);
    await page.getByLabel('State', { exact: true }).selectOption('up');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(/state=up/);
    assert.deepEqual(await names(page), ['tls-expiring']);
    await page.getByRole('link', { name: 'Remove the filter text: TLS-exp' }).click();
    await page.waitForURL((url) => !url.search.includes('text'));
    assert.ok((await names(page)).includes('open'));
    await page.goBack();
    assert.deepEqual(await names(page), ['tls-expiring']);
  });
}

async function keyboard(browser) {
  await check(browser, 'only a keyboard', {}, async (page) => {
    await page.goto(options.demo);
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Skip to the content');
    await page.keyboard.press('Enter');
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'text');
    await page.keyboard.type('jk');
    assert.equal(await page.getByLabel('Search').inputValue(), 'jk', 'letters in a field are text');
    await page.keyboard.press('Escape');
    await page.goto(`${options.demo}?text=tls-exp&state=up&state=down`);
    await page.keyboard.press('j');
    assert.equal(await focused(page), 'tls-expired');
    await page.keyboard.press('ArrowDown');
    assert.equal(await focused(page), 'tls-expiring');
    await page.keyboard.press('k');
    assert.equal(await focused(page), 'tls-expired');
    await page.keyboard.press('Enter');
    await page.waitForURL(/targets\/tls-expired$/);
    assert.equal(await page.locator('h1').textContent(), 'tls-expired');
  });
}

const focused = (page) => page.evaluate(() => document.activeElement.textContent.trim());

async function withoutScript(browser) {
  await check(browser, 'no JavaScript', { javaScriptEnabled: false }, async (page) => {
    await page.goto(options.demo);
    assert.equal((await names(page)).length, 32);
    await page.getByLabel('Group', { exact: true }).selectOption('database');
    await page.getByRole('button', { name: 'Apply' }).click();
    assert.deepEqual(await names(page), ['db-primary', 'db-standby']);
    await page.getByRole('link', { name: 'db-primary' }).last().click();
    await page.getByRole('heading', { name: 'db-primary', level: 1 }).waitFor();
    await page.locator('#calendar summary').click();
    assert.ok(await page.locator('svg.calendar').isVisible());
  });
}

// A proxy in front of the demo that can be broken.
async function withProxy(run) {
  const proxy = { isBroken: false, requests: 0 };
  const server = createServer((incoming, response) => {
    proxy.requests += 1;
    if (proxy.isBroken) return response.destroy();
    const upstream = request(new URL(incoming.url, options.demo), (from) => {
      response.writeHead(from.statusCode, from.headers);
      from.pipe(response);
    });
    upstream.on('error', () => response.destroy());
    upstream.end();
  });
  await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
  try {
    await run(proxy, `http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function refresh(browser) {
  await withProxy((proxy, url) => check(browser, 'refreshes itself without a jump', {}, async (page, context, errors) => {
    await page.clock.install();
    await page.goto(url);
    const refreshed = async () => {
      const next = page.waitForResponse((response) => response.url().split('#')[0] === page.url().split('#')[0]);
      await page.clock.runFor(10_000);
      await next;
      await page.clock.runFor(100);
    };
    const link = page.locator('.list tr a.go').nth(20);
    await link.focus();
    await page.locator('#health summary').click();
    await link.focus();
    await link.scrollIntoViewIfNeeded();
    const mark = await page.evaluateHandle(() => document.getElementById('headline'));
    const before = await link.boundingBox();
    const name = await focused(page);
    await refreshed();
    await page.waitForFunction((old) => !old.isConnected, mark);
    assert.equal(await focused(page), name, 'the focus stays');
    assert.ok(await page.locator('#health').getAttribute('open') !== null, 'details stay open');
    assert.ok(Math.abs((await link.boundingBox()).y - before.y) < 3, 'the page stays in its place');
    assert.ok(await page.getByRole('button', { name: /^Copy / }).count() > 0, 'buttons are there again');
    await page.getByLabel('Search').fill('half-typed');
    await refreshed();
    assert.equal(await page.getByLabel('Search').inputValue(), 'half-typed', 'typed text stays');
    proxy.isBroken = true;
    await page.clock.runFor(10_000);
    await page.locator('#live.lost').waitFor();
    assert.match(await page.locator('#live').textContent(), /Cannot reach portprobe: this page is from/);
    proxy.isBroken = false;
    await refreshed();
    await page.locator('#live:not(.lost)').waitFor();
    await page.evaluate(() => Object.defineProperty(document, 'hidden', { value: true, configurable: true }));
    const requests = proxy.requests;
    await page.clock.runFor(60_000);
    assert.equal(proxy.requests, requests, 'a hidden page requests nothing');
    // The browser itself reports the broken connection.
    assert.ok(errors.every((error) => error.includes('ERR_EMPTY_RESPONSE') || error.includes('Failed to load resource')), errors.join());
    errors.length = 0;
  }));
}

async function hostile(browser) {
  for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    await check(browser, `hostile names, ${size}`, { viewport }, async (page, context) => {
      await page.goto(options.hostile);
      await assertUsable(page, context);
      await shot(page, `hostile-${size}`);
      const links = await page.locator('.list tbody .name > a').evaluateAll((all) => all.map((link) => link.href));
      assert.ok(links.length >= 6);
      for (const link of links) {
        await page.goto(link);
        assert.equal(await page.locator('main img, main script, main i').count(), 0);
        await assertUsable(page, context);
        await page.locator('.back a').click();
        await page.waitForURL(options.hostile);
      }
    });
  }
}

// Draws the pictures of the documentation: only what a screen shows at first.
async function pictures(browser) {
  for (const [name, path, colorScheme, viewport] of [
    ['status-page-light', '', 'light', { width: 1280, height: 1100 }],
    ['status-page-dark', '', 'dark', { width: 1280, height: 1100 }],
    ['status-page-phone', '', 'dark', PHONE],
    ['status-page-list', '?sort=-state#targets', 'light', { width: 1280, height: 1000 }],
    ['status-page-target', 'targets/comes-and-goes', 'light', { width: 1280, height: 1000 }],
  ]) {
    const page = await browser.newPage({ colorScheme, viewport });
    await page.goto(options.demo + path);
    await page.screenshot({ path: join(options.pictures, `${name}.png`) });
    await page.close();
  }
}

const parts = options.pictures ? [pictures] : [everyLook, filters, keyboard, withoutScript, refresh, hostile];
if (options.folder) mkdirSync(options.folder, { recursive: true });
const browser = await chromium.launch({ executablePath: browserFile(), args: ['--no-sandbox', '--disable-gpu'] });
for (const part of parts) await part(browser);
await browser.close();
process.exit(problems ? 1 : 0);
