// The pages in Chromium, before a router that says what the test wants. PICTURES=FOLDER (default: pictures beside this
// file) gets a picture of every page in every look.
import test from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { APP, LUCI, menu, serve } from './server.mjs';
import { configFolder, invented, networks, replies } from './world.mjs';

const PICTURES = process.env.PICTURES ?? join(APP, 'tests/pictures');
const ALERT = "\nconfig alert 'boss'\n\toption method 'mail'\n\tlist to 'a@example.org'\n\tlist interface 'cable'\n";
const STATUS = 'admin/status/mwan3/overview';
const PAGES = Object.entries(menu()).filter(([ , node ]) => node.action.type == 'view').map(([ path ]) => path);
const config = page => `admin/network/mwan3/${page}`;
const widget = (section, option) => `[id="widget.cbid.mwan3.${section}.${option}"]`;
const SAVE = '.cbi-page-actions .cbi-button-save';
const MODAL_SAVE = '#modal_overlay .cbi-button-positive';

const browser = await launch();
test.after(() => browser.close());
/* Closed after every test, failed or not: a failing test must not hang the run. */
const open = [];
test.afterEach(async () => {
  for (const { tab, server, world } of open.splice(0)) {
    await tab.close();
    server.close();
    world.remove();
  }
});

async function visit(page, { look = {}, more = ALERT, ...options } = {}) {
  const world = configFolder(more);
  const server = await serve({ page, backend: invented(), configFolder: world.folder, networks, files: { '/etc/mwan3.user': '#!/bin/sh\necho "$ACTION"\n' }, ...options });
  const tab = await browser.open(look);
  open.push({ tab, server, world });
  await tab.goto(server.url);
  return { tab, server, section: name => server.store.sections('mwan3').find(found => found['.name'] == name) };
}

const poll = tab => tab.run(() => window.__poll ? window.__poll() : window.L.require('poll').then(found => found.step()));
const picture = async (tab, name) => { mkdirSync(PICTURES, { recursive: true }); writeFileSync(join(PICTURES, `${name}.png`), await tab.screenshot()); };
/* Saving is over when the page has told the router all of it. */
const quiet = tab => tab.run(() => new Promise(resolve => setTimeout(resolve, 150)));

async function editAll(tab, names, wait) {
  for (const name of names) {
    await tab.click(`[data-section-id="${name}"] .cbi-button-edit`);
    await tab.until(() => document.querySelector('body.modal-overlay-active #modal_overlay .cbi-map'), `the dialog of ${name}`);
    await tab.click(MODAL_SAVE);
    await tab.until(() => !document.querySelector('body.modal-overlay-active #modal_overlay .cbi-map'), `the dialog of ${name} to close: ${await tab.text('.alert-message, .cbi-value-problem')}`);
  }
}

const LOOKS = {
  desktop: {}, dark: { look: { isDark: true } }, phone: { look: { width: 390, height: 844, isPhone: true } },
  'read-only': { mayWrite: false }, absent: { isAbsent: true }
};
for (const [ name, options ] of Object.entries(LOOKS))
  test(`every page shows itself without an error: ${name}`, async () => {
    for (const page of PAGES) {
      const { tab, server } = await visit(page, options);
      await tab.until(() => document.querySelector('#view h2')?.textContent, `the title of ${page}`);
      await quiet(tab);
      assert.deepEqual(tab.errors, [], page);
      assert.deepEqual(server.refused, [], page);
      assert.deepEqual(server.store.told, [], `${page} wrote without being asked`);
      if (name == 'phone' && !LUCI)
        assert.ok(await tab.run(() => document.scrollingElement.scrollWidth <= window.innerWidth + 1), `${page} is wider than a phone`);
      await picture(tab, `${page.split('/').slice(1).filter(word => word != 'mwan3').join('-')}-${name}`);
    }
  });

test('the dialogs have a picture', async () => {
  for (const [ page, section ] of [ [ 'interface', 'fibre' ], [ 'rule', 'video' ], [ 'notify', 'boss' ] ]) {
    const { tab } = await visit(config(page));
    await tab.click(`[data-section-id="${section}"] .cbi-button-edit`);
    await tab.until(() => document.querySelector('body.modal-overlay-active #modal_overlay .cbi-map'));
    await picture(tab, `network-${page}-dialog`);
    assert.deepEqual(tab.errors, []);
  }
});

test('the overview tells state, shares, hits and events', async () => {
  const { tab } = await visit(STATUS);
  assert.match(await tab.text('[data-part=headline]'), /2 of 3 uplinks are online/);
  assert.deepEqual(await tab.run(() => [ ...document.querySelectorAll('[data-uplink]') ].map(card => card.dataset.uplink)), [ 'fibre', 'cable', 'lte', 'fibre6' ]);
  assert.match(await tab.text('[data-uplink=fibre]'), /Online[\s\S]*1 d 2 h[\s\S]*mean 11\.\d ms[\s\S]*2 of 2 answer[\s\S]*212[\s\S]*eth1[\s\S]*192\.0\.2\.1/);
  assert.ok(await tab.run(() => document.querySelectorAll('[data-uplink=cable] svg rect').length > 15), 'losses are marked');
  assert.match(await tab.text('[data-row=cable_only]'), /nobody is left: traffic is refused/);
  assert.match(await tab.text('[data-row=backup]'), /never hit/);
  assert.match(await tab.text('[data-row="4"]'), /cable[\s\S]*offline[\s\S]*3 rounds in a row failed/);
  assert.match(await tab.text('[data-problem^="rule backup"]'), /ends before it begins[\s\S]*Edit/);
});

test('polling adds to the pictures and events, and asks for what is new only', async () => {
  const world = invented(), fresh = { history: 0 };
  const backend = (object, method, args) => {
    if (method == 'history' && args.since_seq == 1000) {
      fresh.history++;
      return { tracker: true, seq: 1001, interfaces: { lte: { rtt: [ null, null ] } } };
    }
    if (method == 'events' && args.since_seq == 4)
      return { tracker: true, seq: 5, events: [ { seq: 5, ago: 0, interface: 'lte', event: 'disconnected', reason: 'all gone' } ] };
    return world(object, method, args);
  };
  const { tab, server } = await visit(STATUS, { backend });
  await poll(tab);
  await tab.until(() => document.querySelector('[data-row="5"]'), 'the new event');
  // One loss was there before.
  assert.equal(await tab.run(() => document.querySelectorAll('[data-uplink=lte] svg rect').length), 3);
  assert.ok(fresh.history >= 1);
  assert.ok(server.calls.filter(call => call.method == 'check').length == 1, 'mistakes are looked for seldom');
  assert.deepEqual(tab.errors, []);
});

test('one poll is one request of less than 8 kB', () => {
  const polled = [ replies.service, replies.uplinks, { interfaces: {} }, { events: [] }, replies.rules, { ...replies.policies, connections: undefined } ];
  assert.ok(JSON.stringify(polled).length < 8000);
});

test('events are shown of one uplink if wanted', async () => {
  const { tab } = await visit(STATUS);
  await tab.fill('#view select[aria-label=Uplink]', 'lte');
  assert.equal(await tab.run(() => document.querySelectorAll('tr[data-row="4"], tr[data-row="3"]').length), 0);
  assert.match(await tab.text('tr[data-row="2"]'), /5 good rounds/);
});

test('a test of an uplink starts at once and shows its result', async () => {
  const world = invented();
  let asked = 0;
  const { tab, server } = await visit(STATUS, { backend: (object, method, args) => method == 'test_result' && ++asked < 2 ? { id: 7, done: false } : world(object, method, args) });
  await tab.click('[data-uplink=fibre] button');
  await tab.until(() => document.querySelector('[data-part=test]'), 'the result');
  assert.match(await tab.text('[data-part=test]'), /1 of 2 targets answered[\s\S]*1\.1\.1\.1[\s\S]*11\.4 ms[\s\S]*no answer in time/);
  assert.equal(server.calls.find(call => call.method == 'test').args.interface, 'fibre');
  await picture(tab, 'status-overview-test');
});

test('a test that cannot be made says why', async () => {
  const { tab } = await visit(STATUS, { backend: invented(world => { world.test = { error: 'fibre is down or has no targets: nothing to probe' }; }) });
  await tab.click('[data-uplink=fibre] button');
  await tab.until(() => /nothing to probe/.test(document.querySelector('[data-part=test]')?.textContent), 'the reason');
});

test('"Which way?" sends a clean question and shows rule, way and reasons', async () => {
  const { tab, server } = await visit(STATUS);
  await tab.fill('[name=dest]', 'not an address');
  await tab.click('.mwan3-ask button');
  await tab.until(() => /must be an address/.test(document.querySelector('[data-part=answer]').textContent));
  assert.equal(server.calls.filter(call => call.method == 'explain').length, 0);
  await tab.fill('[name=dest]', '198.51.100.80');
  await tab.fill('[name=port]', '443');
  await tab.click('.mwan3-ask button');
  await tab.until(() => /takes the uplink fibre/.test(document.querySelector('[data-part=answer]').textContent));
  assert.match(await tab.text('[data-part=answer]'), /web \(2 of 4\)[\s\S]*eth1 to 192\.0\.2\.1[\s\S]*sticky/);
  const { args } = server.calls.find(call => call.method == 'explain');
  assert.deepEqual(args, { dest: '198.51.100.80', proto: 'tcp', port: 443 });
  await picture(tab, 'status-overview-explain');
});

test('who may only look gets no buttons that act', async () => {
  const { tab, server } = await visit(STATUS, { mayWrite: false, backend: invented(world => { world.service.tracker = false; }) });
  assert.ok(await tab.run(() => [ ...document.querySelectorAll('[data-uplink] button, [data-problem=untracked] button') ].every(button => button.disabled)));
  for (const page of [ 'interface', 'policy', 'rule', 'member', 'notify' ]) {
    const config_ = await visit(config(page), { mayWrite: false });
    await quiet(config_.tab);
    const acting = await config_.tab.run(() => [ ...document.querySelectorAll('#view .cbi-button-remove, #view .cbi-button-add, #view .cbi-section-create button, #view .cbi-button-save, #mwan3-user') ].filter(node => !node.disabled).map(node => node.textContent));
    assert.deepEqual(acting, [], page);
  }
  assert.deepEqual(server.refused, []);
});

test('a service that is away says so and nothing else', async () => {
  const { tab } = await visit(STATUS, { isAbsent: true });
  assert.match(await tab.text('[data-problem=absent]'), /does not answer/);
  assert.equal(await tab.run(() => [ ...document.querySelectorAll('.mwan3-part') ].filter(part => part.offsetHeight > 0).length), 0);
});

test('a service that is stopped can be started from the page', async () => {
  const world = invented();
  let isRunning = false;
  const { tab } = await visit(STATUS, { backend: (object, method, args) => {
    if (object == 'exec' && method == '/etc/init.d/mwan3 start')
      isRunning = true;
    return method == 'service' ? { ...replies.service, running: isRunning, tracker: isRunning } : world(object, method, args);
  } });
  assert.match(await tab.text('[data-problem=stopped]'), /all traffic follows the main routing table/);
  await picture(tab, 'status-overview-stopped');
  await tab.click('[data-problem=stopped] button');
  await tab.until(() => !document.querySelector('[data-problem=stopped]'), 'the warning to go');
});

for (const method of [ 'service', 'uplinks', 'history', 'events', 'rules', 'policies', 'check' ])
  test(`a broken reply of ${method} costs its part of the page only`, async () => {
    const world = invented();
    for (const broken of [ 2, { error: 'no' }, { nothing: 1 } ]) {
      const { tab } = await visit(STATUS, { backend: (object, asked, args) => asked == method ? broken : world(object, asked, args) });
      assert.deepEqual(tab.errors, [], JSON.stringify(broken));
      if (![ 'uplinks', 'service' ].includes(method))
        assert.match(await tab.text('[data-uplink=fibre]'), /Online/);
    }
  });

test('whatever the router says is text and never markup', async () => {
  const MARKUP = '<img src=x onerror="window.__harm=1">';
  const KEEP = [ 'status', 'severity', 'family', 'role', 'kind', 'verdict', 'state', 'tracking' ];
  const poison = (value, key) => typeof value == 'string' ? KEEP.includes(key) ? value : value + MARKUP : Array.isArray(value) ? value.map(item => poison(item, key))
    : value && typeof value == 'object' ? Object.fromEntries(Object.entries(value).map(([ name, item ]) => [ key == 'interfaces' || key == 'connections' ? name + MARKUP : name, poison(item, name) ])) : value;
  const world = invented(), backend = (object, method, args) => poison(world(object, method, args));
  const { tab } = await visit(STATUS, { backend });
  await tab.click('[data-uplink] button');
  await tab.until(() => document.querySelector('[data-part=test]'));
  await tab.fill('[name=dest]', '1.1.1.1');
  await tab.click('.mwan3-ask button');
  await quiet(tab);
  const hostile = `\nconfig policy 'evil'\n\tlist use_member '${MARKUP}'\n\nconfig rule 'evilrule'\n\toption src_ip '${MARKUP}'\n\toption use_policy '${MARKUP}'\n`
    + `\nconfig interface 'eviluplink'\n\tlist track_ip '${MARKUP}'\n\toption family '${MARKUP}'\n\nconfig alert 'evilalert'\n\toption method '${MARKUP}'\n\tlist to '${MARKUP}'\n`;
  const tabs = [ tab ];
  for (const page of PAGES.filter(page => page != STATUS))
    tabs.push((await visit(page, { backend, more: hostile, files: { '/etc/mwan3.user': MARKUP } })).tab);
  for (const one of tabs) {
    await quiet(one);
    assert.equal(await one.run(() => window.__harm ?? null), null);
    assert.equal(await one.run(() => document.querySelectorAll('#view img[src=x], .modal img[src=x]').length), 0);
  }
});

test('saving what nobody changed writes nothing', async () => {
  for (const [ page, sections ] of [ [ 'globals', [] ], [ 'interface', [ 'fibre', 'cable', 'lte', 'fibre6' ] ], [ 'policy', [] ], [ 'rule', [ 'video', 'web', 'backup', 'everything' ] ], [ 'member', [ 'fibre_m1_w3', 'cable_first' ] ], [ 'notify', [ 'boss' ] ] ]) {
    const { tab, server } = await visit(config(page));
    await editAll(tab, sections);
    await tab.click(SAVE);
    await quiet(tab);
    assert.deepEqual(server.store.told, [], page);
    assert.deepEqual(tab.errors, [], page);
  }
});

test('a change writes that and nothing else, and the computed times follow', async () => {
  const { tab, server, section } = await visit(config('interface'));
  const before = structuredClone(section('fibre'));
  await tab.click('[data-section-id=fibre] .cbi-button-edit');
  await tab.until(selector => document.querySelector(selector), 'the dialog', widget('fibre', 'interval'));
  await tab.fill(widget('fibre', 'interval'), '5');
  await tab.until(() => /left after 2\.8 to 7\.8 s/.test(document.querySelector('[data-promise=fibre]').textContent), 'the new time');
  await tab.click(MODAL_SAVE);
  await tab.until(() => !document.querySelector('body.modal-overlay-active .cbi-map'));
  if (LUCI)
    await tab.click(SAVE);
  await quiet(tab);
  assert.deepEqual(section('fibre'), { ...before, interval: '5' });
  assert.deepEqual(server.store.told.filter(told => told[0] != 'set'), []);
});

test('a value that the parser refuses is not saved', async () => {
  const { tab, server } = await visit(config('interface'));
  await tab.click('[data-section-id=fibre] .cbi-button-edit');
  await tab.until(selector => document.querySelector(selector), 'the dialog', widget('fibre', 'interval'));
  await tab.fill(widget('fibre', 'interval'), 'soon');
  await tab.click(MODAL_SAVE);
  await quiet(tab);
  assert.ok(await tab.run(() => document.querySelector('body.modal-overlay-active .cbi-map') != null), 'the dialog stays');
  assert.deepEqual(server.store.told, []);
});

test('a rule needs a policy: none is chosen in silence', async () => {
  const { tab } = await visit(config('rule'), { more: "\nconfig rule 'fresh'\n" });
  assert.match(await tab.text('[data-section-id=fresh]'), /none: the rule is skipped/);
  await tab.click('[data-section-id=fresh] .cbi-button-edit');
  await tab.until(selector => document.querySelector(selector), 'the dialog', widget('fresh', 'use_policy'));
  assert.equal(await tab.run(selector => document.querySelector(selector).value, widget('fresh', 'use_policy')), '');
  await tab.click(MODAL_SAVE);
  await quiet(tab);
  assert.ok(await tab.run(() => document.querySelector('body.modal-overlay-active .cbi-map') != null), 'the dialog stays');
});

test('a policy is edited in place: preview at once, members by saving', async () => {
  const { tab, section } = await visit(config('policy'));
  assert.match(await tab.text('[data-preview=balanced]'), /IPv4: fibre 60 % \+ cable 40 %; if that is down: lte; if nobody is left: refused/);
  await tab.fill('[data-rows=balanced] tr[data-row=cable_first] input[aria-label=Weight]', '1');
  assert.match(await tab.text('[data-preview=balanced]'), /fibre 75 % \+ cable 25 %/);
  await picture(tab, 'network-policy-edited');
  await tab.click(SAVE);
  await tab.until(() => true);
  await quiet(tab);
  assert.equal(section('cable_first').weight, '1');
  assert.deepEqual(section('balanced').use_member, [ 'fibre_m1_w3', 'cable_first', 'lte_last' ]);
  assert.equal(section('lte_last').metric, '2');
});

test('a member that two policies share is left to the other', async () => {
  const { tab, section } = await visit(config('policy'));
  await tab.fill('[data-rows=lte_only] input[aria-label=Tier]', '1');
  await tab.click(SAVE);
  await quiet(tab);
  assert.equal(section('lte_last').metric, '2');
  assert.deepEqual([].concat(section('lte_only').use_member), [ 'lte_m1_w1' ]);
  assert.deepEqual({ ...section('lte_m1_w1') }.interface, 'lte');
});

test('who is in use is not removed without a word', async () => {
  const { tab, section } = await visit(config('interface'));
  await tab.click('[data-section-id=cable] .cbi-button-remove');
  await tab.until(() => /cable is in use/.test(document.querySelector('#modal_overlay').textContent), 'the question');
  assert.match(await tab.text('#modal_overlay'), /member cable_first[\s\S]*alert boss/);
  await picture(tab, 'network-interface-remove');
  assert.ok(section('cable'), 'not yet');
  await tab.click('#modal_overlay .cbi-button-negative');
  await tab.until(() => !document.querySelector('[data-section-id=cable]'), 'the row to go');
  await quiet(tab);
  for (const gone of [ 'cable', 'cable_first' ])
    assert.equal(section(gone), undefined, gone);
  assert.deepEqual(section('balanced').use_member, [ 'fibre_m1_w3', 'lte_last' ]);
  assert.equal(section('boss').interface, undefined);
});

test('a policy that rules use cannot be removed', async () => {
  const { tab, section } = await visit(config('policy'));
  await tab.run(() => [ ...document.querySelectorAll('.cbi-section-remove button') ][0].click());
  await tab.until(() => /Give them another policy first/.test(document.querySelector('#modal_overlay').textContent));
  assert.equal(await tab.run(() => document.querySelectorAll('#modal_overlay .cbi-button-negative').length), 0);
  assert.ok(section('balanced'));
});

test('a new name is judged while it is typed', async () => {
  const { tab, section } = await visit(config('rule'));
  const state = () => tab.run(() => [ document.querySelector('.cbi-section-create [role=alert]').textContent, document.querySelector('.cbi-section-create button').disabled ]);
  await tab.fill('.cbi-section-create-name', 'fibre');
  assert.deepEqual(await state(), [ 'There is a section "fibre" of type interface already', true ]);
  await tab.fill('.cbi-section-create-name', 'no spaces');
  assert.equal((await state())[1], true);
  await tab.fill('.cbi-section-create-name', 'a_name_longer_than_fifteen');
  assert.deepEqual(await state(), [ '', false ]);
  await tab.click('.cbi-section-create button');
  await tab.until(() => document.querySelector('[data-section-id=a_name_longer_than_fifteen]'));
  if (LUCI)
    await tab.click(SAVE);
  await quiet(tab);
  assert.equal(section('a_name_longer_than_fifteen')['.type'], 'rule');
});

test('every network with a default route becomes an uplink by one button', async () => {
  const { tab, section } = await visit(config('interface'));
  await tab.run(() => [ ...document.querySelectorAll('.cbi-section-create button') ][1].click());
  await tab.until(() => document.querySelector('[data-section-id=dsl]'), 'the new uplink');
  await quiet(tab);
  assert.deepEqual({ enabled: section('dsl').enabled, family: section('dsl').family }, { enabled: '1', family: 'ipv4' });
  assert.equal(section('lan'), undefined);
});

test('members that nobody uses are told, and go by a button', async () => {
  const { tab, section } = await visit(config('member'));
  assert.match(await tab.text('[data-section-id=nobody]'), /nobody/);
  await tab.run(() => [ ...document.querySelectorAll('#view button') ].find(button => /unused/.test(button.textContent)).click());
  await tab.until(() => !document.querySelector('[data-section-id=nobody]'));
  await quiet(tab);
  assert.equal(section('nobody'), undefined);
  assert.ok(section('lte_last'));
});

test('the script is written when it was changed', async () => {
  const { tab, server } = await visit(config('notify'));
  await tab.fill('#mwan3-user', '#!/bin/sh\nlogger "$INTERFACE $ACTION"\n\n\n');
  await tab.click(SAVE);
  await tab.until(() => /The script is saved/.test(document.body.textContent));
  assert.equal(server.files['/etc/mwan3.user'], '#!/bin/sh\nlogger "$INTERFACE $ACTION"\n');
});

test('a link of the status page opens what it is about', async () => {
  const { tab } = await visit(config('rule'), { look: { hash: '#edit=backup' } });
  await tab.until(() => /Rule backup/.test(document.querySelector('#modal_overlay').textContent), 'the dialog');
});

test('the details can be read and copied', async () => {
  const { tab } = await visit('admin/status/mwan3/detail');
  assert.match(await tab.text('pre'), /output of \/usr\/sbin\/mwan3 status[\s\S]*check -v[\s\S]*internal ipv6/);
  await tab.click('.mwan3-copy');
  await tab.until(() => /Copied|by hand/.test(document.querySelector('.alert-message')?.textContent));
});

test("LuCI's own overview gets the cards, and nothing where there is nothing", { skip: LUCI && 'a page of its own there' }, async () => {
  const groups = [ 'luci-app-mwan3-status' ], view = 'status/include/90_mwan3';
  const { tab } = await visit('include', { view, groups });
  assert.equal(await tab.run(() => document.querySelectorAll('[data-uplink] svg').length), 3);
  await picture(tab, 'status-index');
  const none = await visit('include', { view, groups, isAbsent: true });
  assert.equal(await none.tab.run(() => document.querySelectorAll('[data-uplink]').length), 0);
  assert.deepEqual([ ...tab.errors, ...none.tab.errors ], []);
});

/* As measured in LuCI; with LUCI_SOURCES it is measured anew. */
const SURFACE = {
  "E('b', {}, '<i>x</i>').outerHTML": '<b><i>x</i></b>',
  "E('b', {}, [ '<i>x</i>' ]).outerHTML": '<b>&lt;i&gt;x&lt;/i&gt;</b>',
  "E('b', {}, [ 5 ]).outerHTML": '<b>5</b>',
  "E('button', { disabled: null }).outerHTML": '<button></button>',
  "E('i', { x: { a: 1 } }).outerHTML": '<i x="{&quot;a&quot;:1}"></i>',
  "'%h'.format('<a>')": '&#60;a&#62;',
  "'%.1f'.format(2.25)": '2.3',
  "'%d %%'.format(7)": '7 %',
  "L.url('admin/network')": '/cgi-bin/luci/admin/network'
};
test('what the pages build on is as it was measured', async () => {
  const { tab } = await visit(STATUS);
  for (const [ code, result ] of Object.entries(SURFACE))
    assert.equal(await tab.run(`() => ${code}`), result, code);
});
