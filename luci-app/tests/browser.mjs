// Drives Chromium by its debugging pipe: no package to install, no port to collide on.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const START_MS = 60000;
const CALL_MS = 60000;
const FLAGS = [ '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-extensions', '--hide-scrollbars', '--force-color-profile=srgb', '--process-per-site', '--remote-debugging-pipe' ];

export function findChromium() {
  const onPath = name => process.env.PATH.split(delimiter).map(folder => join(folder, name)).find(existsSync);
  return process.env.CHROMIUM ?? onPath('chromium') ?? onPath('chromium-browser') ?? onPath('google-chrome');
}

export async function launch() {
  const program = findChromium();
  if (!program)
    throw new Error('no Chromium: apt-get install chromium, or name one in CHROMIUM');
  const profile = mkdtempSync(join(tmpdir(), 'mwan3-chromium-'));
  const child = spawn(program, [ ...FLAGS, `--user-data-dir=${profile}`, 'about:blank' ], { stdio: [ 'ignore', 'ignore', 'ignore', 'pipe', 'pipe' ] });
  const connection = new Connection(child);
  const close = async () => {
    await connection.send('Browser.close').catch(() => {});
    await new Promise(resolve => { if (child.exitCode != null || child.signalCode != null) resolve(); else { child.once('exit', resolve); setTimeout(() => child.kill('SIGKILL'), 5000).unref(); } });
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  await within(connection.send('Browser.getVersion'), START_MS, 'Chromium does not start');
  return { open: options => Page.open(connection, options), close };
}

class Connection {
  constructor(child) {
    [ this.input, this.output ] = [ child.stdio[3], child.stdio[4] ];
    this.last = 0;
    this.waiting = new Map();
    this.listeners = new Map();
    let rest = Buffer.alloc(0);
    this.output.on('data', data => {
      rest = Buffer.concat([ rest, data ]);
      for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1))
        this.take(JSON.parse(rest.subarray(0, end).toString()));
    });
    this.input.on('error', () => {});
    child.on('exit', () => [ ...this.waiting.values() ].forEach(call => call.reject(new Error('Chromium is gone'))));
  }

  take(message) {
    const call = this.waiting.get(message.id);
    if (call) {
      this.waiting.delete(message.id);
      message.error ? call.reject(new Error(`${call.method}: ${message.error.message}`)) : call.resolve(message.result);
    } else
      this.listeners.get(message.sessionId)?.(message.method, message.params);
  }

  send(method, params, sessionId) {
    const id = ++this.last;
    const reply = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject, method }));
    this.input.write(`${JSON.stringify({ id, method, params: params ?? {}, sessionId })}\0`);
    return within(reply, CALL_MS, `${method} takes too long`);
  }
}

/* One tab; all share a renderer, as each page has a port and so an origin of its own. `errors` collects whatever the page throws or logs as an error. */
class Page {
  static async open(connection, { width = 1180, height = 900, isDark = false, isPhone = false, hash = '' } = {}) {
    const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page();
    Object.assign(page, { connection, sessionId, targetId, errors: [], hash });
    connection.listeners.set(sessionId, (method, params) => page.notice(method, params));
    await Promise.all([ 'Page.enable', 'Runtime.enable', 'Log.enable' ].map(method => page.send(method)));
    await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: isPhone ? 2 : 1, mobile: isPhone });
    await page.send('Emulation.setEmulatedMedia', { features: [ { name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' } ] });
    return page;
  }

  send(method, params) {
    return this.connection.send(method, params, this.sessionId);
  }

  notice(method, params) {
    if (method == 'Runtime.exceptionThrown')
      this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method == 'Runtime.consoleAPICalled' && params.type == 'error')
      this.errors.push(params.args.map(arg => arg.value ?? arg.description).join(' '));
    if (method == 'Log.entryAdded' && params.entry.level == 'error')
      this.errors.push(`${params.entry.text} ${params.entry.url ?? ''}`);
  }

  async goto(url) {
    await this.send('Page.navigate', { url: url + this.hash });
    await this.until(() => document.body?.dataset.ready || document.body?.dataset.error || document.querySelector('#view > :not(.spinning):not(script)'), 'the page to be there');
  }

  /* Runs a function in the page; its arguments and result travel as JSON. */
  async run(code, ...args) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression: `(${code})(...${JSON.stringify(args)})`, awaitPromise: true, returnByValue: true });
    if (exceptionDetails)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(code, what, ...args) {
    const deadline = Date.now() + CALL_MS / 2;
    for (let last; ; await new Promise(resolve => setTimeout(resolve, 30))) {
      const found = await this.run(code, ...args).catch(error => { last = error; });
      if (found)
        return found;
      if (Date.now() > deadline)
        throw new Error(`waited in vain for ${what ?? code}; ${last?.message ?? ''} ${this.errors.join('; ')}`);
    }
  }

  text(selector) {
    return this.run(selector => [ ...document.querySelectorAll(selector) ].map(node => node.innerText ?? node.textContent), selector).then(texts => texts.join('\n'));
  }

  click(selector) {
    return this.run(selector => { const node = document.querySelector(selector); if (!node) throw new Error(`nothing to click: ${selector}`); node.click(); }, selector);
  }

  fill(selector, value) {
    return this.run((selector, value) => {
      const node = document.querySelector(selector);
      node.value = value;
      for (const type of [ 'input', 'keyup', 'change', 'blur' ])
        node.dispatchEvent(new Event(type, { bubbles: true }));
    }, selector, value);
  }

  async screenshot() {
    const { cssContentSize } = await this.send('Page.getLayoutMetrics');
    const clip = { x: 0, y: 0, width: cssContentSize.width, height: Math.min(cssContentSize.height, 6000), scale: 1 };
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
    return Buffer.from(data, 'base64');
  }

  async close() {
    this.connection.listeners.delete(this.sessionId);
    await this.connection.send('Target.closeTarget', { targetId: this.targetId });
  }
}

function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(what)), ms); });
  return Promise.race([ promise, late ]).finally(() => clearTimeout(timer));
}
