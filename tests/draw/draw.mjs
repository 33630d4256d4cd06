// Draws dashboards to PNG: bundles the page, serves it next to Prometheus' API, and prints it with headless Chromium.
// Reports one line of JSON for each panel.

import { existsSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { basename, delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const HERE = import.meta.dirname;
const ICONS = '/public/build/img/icons/';
const THEMES = ['dark', 'light'];

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    prometheus: { type: 'string' }, minutes: { type: 'string' }, folder: { type: 'string' }, width: { type: 'string' },
    open: { type: 'boolean', default: false }, scrape: { type: 'string', default: '1' },
    select: { type: 'string', multiple: true, default: [] }, suffix: { type: 'string', default: '' },
  },
});

// An editor that the components depend on and no panel uses.
const withoutEditor = {
  name: 'without-editor',
  setup(builder) {
    builder.onResolve({ filter: /^(react-)?monaco-editor|^@monaco-editor/ }, () => ({ path: 'editor', namespace: 'none' }));
    builder.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: 'module.exports = {}' }));
  },
};

async function bundled() {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, 'page.jsx')], bundle: true, write: false, outdir: 'out', format: 'esm', jsx: 'automatic',
    minify: true, logLevel: 'error', plugins: [withoutEditor], loader: { '.woff': 'dataurl', '.woff2': 'dataurl', '.svg': 'dataurl' },
    define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'window' },
  });
  const [script, style] = ['.js', '.css'].map((end) => outputFiles.find((file) => file.path.endsWith(end))?.text ?? '');
  return { script, style };
}

// Serves the page of a dashboard at `/?KEY`, its parts, and the API of Prometheus.
function serve({ script, style }, pages) {
  const send = (response, type, body) => response.writeHead(200, { 'content-type': type }).end(body);
  return createServer((incoming, response) => {
    const url = new URL(incoming.url, 'http://localhost');
    if (url.pathname.startsWith('/api/')) return forward(incoming, response);
    if (url.pathname === '/page.js') return send(response, 'text/javascript', script);
    if (url.pathname === '/page.css') return send(response, 'text/css', style);
    if (url.pathname.startsWith(ICONS)) return send(response, 'image/svg+xml', icon(url.pathname.slice(ICONS.length)));
    const settings = JSON.stringify(pages.get(url.search.slice(1)) ?? null).replaceAll('<', '\\u003c');
    return send(response, 'text/html', `<!doctype html><meta charset=utf-8><link rel=stylesheet href=/page.css><div id=root></div>
      <script>window.settings = ${settings}; window.__grafana_public_path__ = '/public/'</script><script type=module src=/page.js></script>`);
  });
}

function forward(incoming, response) {
  const { pathname, search } = new URL(incoming.url, options.prometheus);
  const headers = { 'content-type': incoming.headers['content-type'] ?? '' };
  const upstream = request(new URL(pathname + search, options.prometheus), { method: incoming.method, headers }, (from) => {
    response.writeHead(from.statusCode, { 'content-type': 'application/json' });
    from.pipe(response);
  });
  upstream.on('error', (error) => response.writeHead(502).end(JSON.stringify({ status: 'error', error: String(error) })));
  incoming.pipe(upstream);
}

function icon(name) {
  const file = join(HERE, 'node_modules/@grafana/ui/dist/public/img/icons', name);
  return name.includes('..') || !existsSync(file) ? '<svg xmlns="http://www.w3.org/2000/svg"/>' : readFileSync(file);
}

function browserFile() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, 'chromium')).find(existsSync);
}

async function draw(browser, port, key, { dashboard, theme }) {
  const width = Number(options.width);
  const page = await browser.newPage({ viewport: { width, height: 1080 } });
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`http://127.0.0.1:${port}/?${key}`);
  await page.waitForFunction(() => window.panels?.length && window.panels.every((panel) => panel.state), null, { timeout: 120000 })
    .catch((error) => errors.push(String(error)));
  await page.setViewportSize({ width, height: await page.evaluate(() => document.getElementById('root').scrollHeight) });
  await page.waitForTimeout(1500); // Components draw once more in their final size.
  await page.screenshot({ path: join(options.folder, `${key}.png`) });
  const panels = await page.evaluate(() => window.panels ?? []);
  const broken = errors.map((why) => ({ title: 'the page', state: 'broken', why }));
  for (const panel of [...panels, ...broken]) console.log(JSON.stringify({ dashboard: dashboard.uid, theme, ...panel }));
  await page.close();
}

const to = Math.floor(Date.now() / 1000);
const selected = Object.fromEntries(options.select.map((one) => one.split('=')));
const pages = new Map(files.flatMap((file) => THEMES.map((theme) => {
  const dashboard = JSON.parse(readFileSync(file, 'utf8'));
  const chosen = dashboard.uid === 'portprobe-target' ? selected : { ...selected, target: undefined };
  const key = `${basename(file, '.json').replace('portprobe-', '')}${options.suffix}-${theme}`;
  const range = { from: to - 60 * Number(options.minutes), to, scrape: Number(options.scrape) };
  return [key, { dashboard, theme, chosen, range, open: options.open, width: Number(options.width) }];
})));
const server = serve(await bundled(), pages);
await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
const browser = await chromium.launch({ executablePath: browserFile(), args: ['--no-sandbox', '--disable-gpu'] });
for (const [key, page] of pages) await draw(browser, server.address().port, key, page);
await browser.close();
server.close();
