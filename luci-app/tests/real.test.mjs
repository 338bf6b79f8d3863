// The pages before the real program, in the router of a laboratory: `cargo xtask web-test` builds it and runs us in it.
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { APP, LUCI, serve } from './server.mjs';
import { networks, replies } from './world.mjs';

const program = process.env.MWAN3_BIN, configFolder = process.env.UCI_CONFIG_DIR;
assert.ok(program && configFolder && process.env.MWAN3_RUN_DIR, 'this needs the laboratory: cargo xtask web-test');
const PICTURES = process.env.PICTURES ?? join(APP, 'tests/pictures');
const STATUS = 'admin/status/mwan3/overview';
mkdirSync(PICTURES, { recursive: true });

/* As rpcd runs it: arguments by stdin, the reply by stdout, an exit code for what is no answer. */
function execute(args, input) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: [ 'pipe', 'pipe', 'inherit' ] });
    let stdout = '';
    child.on('error', reject);
    child.stdin.on('error', () => {});
    child.stdout.on('data', data => { stdout += data; });
    child.on('close', code => resolve({ code, stdout }));
    child.stdin.end(input ?? '');
  });
}
const call = async (method, args) => JSON.parse((await execute([ 'rpcd', 'call', method ], JSON.stringify(args ?? {}))).stdout);
async function backend(object, method, args) {
  if (object == 'exec')
    return execute(method.split(' ').slice(1));
  const reply = await call(method, args);
  return typeof reply == 'object' ? reply : 2;
}

const browser = await launch();
test.after(() => browser.close());
const open = [];
test.afterEach(async () => {
  for (const { tab, server } of open.splice(0)) {
    await tab.close();
    server.close();
  }
});
async function visit(page, options) {
  const server = await serve({ page, backend, configFolder, networks: networks.slice(0, 1), files: {}, ...options });
  const tab = await browser.open();
  open.push({ tab, server });
  await tab.goto(server.url);
  return { tab, server };
}
const poll = tab => tab.run(() => window.__poll ? window.__poll() : window.L.require('poll').then(found => found.step()));
async function pollUntil(tab, code, what) {
  const deadline = Date.now() + 30000;
  while (!await tab.run(code)) {
    assert.ok(Date.now() < deadline, `waited in vain for ${what}: ${await tab.text('#view')}`);
    await poll(tab);
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

/* Where the invented router has a field, the real one has it, of the same type. */
function assertShape(invented, real, path) {
  if (invented == null || real == null)
    return;
  assert.equal(Array.isArray(real), Array.isArray(invented), path);
  assert.equal(typeof real, typeof invented, path);
  if (typeof real == 'number')
    assert.ok(Number.isInteger(real), `${path} is not an integer`);
  if (Array.isArray(real) && real.length && invented.length)
    assertShape(invented[0], real[0], `${path}[0]`);
  else if (typeof real == 'object' && !Array.isArray(real))
    for (const key in real)
      if (key in invented)
        assertShape(invented[key], real[key], `${path}.${key}`);
      else
        assert.ok(MAY_BE_MORE.test(`${path}.${key}`), `${path}.${key} is not in the invented reply`);
}
const MAY_BE_MORE = /^(history\.interfaces|policies\.connections|status)\.|^(uplinks\.uplinks|rules\.rules|events\.events|policies\.policies|check\.problems)\[0\]\.\w+$|^explain\./;

test('the invented router speaks as the program does', async () => {
  for (const method of [ 'service', 'uplinks', 'history', 'events', 'rules', 'check' ]) {
    const real = await call(method, { ubus_rpc_session: 'x' });
    assertShape(replies[method], real, method);
    for (const key of Object.keys(replies[method]))
      assert.ok(key in real, `${method}.${key} is missing`);
  }
  assertShape(replies.policies, await call('policies', { connections: true }), 'policies');
  const explained = await call('explain', { dest: '1.1.1.1', proto: 'tcp', port: 25 });
  for (const key of [ 'verdict', 'stage', 'certain', 'rule', 'rule_number', 'policy', 'sticky', 'rules', 'ways', 'members', 'not_matched', 'why' ])
    assert.equal(typeof explained[key], typeof replies.explain[key], `explain.${key}`);
});

test('the overview shows what the program sees', async () => {
  const { tab, server } = await visit(STATUS);
  await pollUntil(tab, () => /All 2 uplinks are online/.test(document.querySelector('[data-part=headline]').textContent), 'both to be online');
  assert.match(await tab.text('[data-uplink=wan]'), /Online[\s\S]*mean [\d.]+ ms[\s\S]*2 of 2 answer[\s\S]*Device\s*wan/);
  assert.match(await tab.text('[data-uplink=spare]'), /Disabled/);
  assert.match(await tab.text('[data-row=balanced]'), /wan 60 %[\s\S]*wanb 40 %/);
  assert.match(await tab.text('[data-row=mail]'), /TCP IPv4 to port 25[\s\S]*balanced/);
  assert.match(await tab.text('[data-problem^="rule broken"]'), /ends before it begins/);
  assert.match(await tab.text('table tr[data-row="1"]'), /wanb?[\s\S]*online/);
  assert.deepEqual([ tab.errors, server.refused ], [ [], [] ]);
  writeFileSync(join(PICTURES, 'real-status-overview.png'), await tab.screenshot());
});

test('"Test now" probes, "Which way?" answers', async () => {
  const { tab } = await visit(STATUS);
  await tab.click('[data-uplink=wan] button');
  await tab.until(() => /2 of 2 targets answered/.test(document.querySelector('[data-part=test]')?.textContent), 'the test');
  await tab.fill('[name=dest]', '1.1.1.1');
  await tab.fill('[name=port]', '25');
  await tab.click('.mwan3-ask button');
  await tab.until(() => /takes wan \(60 %\) or wanb \(40 %\)[\s\S]*mail/.test(document.querySelector('[data-part=answer]').textContent), 'the way');
  assert.deepEqual(tab.errors, []);
});

test('an uplink that is cut turns red, its policy moves, and the event says why', async () => {
  const { tab } = await visit(STATUS);
  const link = state => execFileSync('ip', [ 'link', 'set', 'dev', 'wanb', state ]);
  link('down');
  try {
    await pollUntil(tab, () => document.querySelector('[data-uplink=wanb]').classList.contains('mwan3-bad'), 'wanb to turn red');
    await pollUntil(tab, () => /wan 100 %/.test(document.querySelector('[data-row=balanced]').textContent), 'the policy to move');
    assert.match(await tab.text('table tr[data-row]'), /wanb/);
    writeFileSync(join(PICTURES, 'real-status-overview-cut.png'), await tab.screenshot());
  } finally {
    link('up');
  }
});

test('the details show what the commands print', async () => {
  const { tab, server } = await visit('admin/status/mwan3/detail');
  assert.match(await tab.text('pre'), /interface wan is online[\s\S]*a silent fault is left after[\s\S]*inet mwan3/);
  assert.deepEqual([ tab.errors, server.refused ], [ [], [] ]);
});

test('the uplinks page shows the live state beside the settings', async () => {
  const { tab } = await visit('admin/network/mwan3/interface');
  await pollUntil(tab, () => /Online/.test(document.querySelector('[data-section-id=wan]').textContent), 'the state');
  assert.match(await tab.text('[data-section-id=wan]'), /1\.0\.0\.1, 1\.1\.1\.1[\s\S]*1\.2 to 2\.2 s/);
});

test('what the pages save, the program reads without a complaint', { skip: LUCI && 'saves in the stand-in' }, async () => {
  const { tab, server } = await visit('admin/network/mwan3/policy');
  await tab.fill('[data-rows=unused] input[aria-label=Weight]', '7');
  await tab.click('.cbi-page-actions .cbi-button-save');
  await tab.until(() => /wanb_m1_w7/.test([ ...document.querySelectorAll('tr[data-row]') ].map(row => row.dataset.row).join()), 'the new member');
  server.store.call('apply', {});
  const { stdout } = await execute([ 'check', '--json' ]);
  assert.deepEqual([ ...new Set(JSON.parse(stdout).filter(problem => problem.severity == 'error').map(problem => problem.section.name)) ], [ 'broken' ]);
});

test('every call is quick and small', async () => {
  for (const method of [ 'service', 'uplinks', 'history', 'events', 'rules', 'policies', 'check' ])
    assert.ok(JSON.stringify(await call(method)).length < 8192, method);
});
