// The forms beside the parser: the same options, defaults, choices and ranges, and the same verdict on every value.
// MWAN3_BIN names the program.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { load } from './modules.mjs';
import { LUCI, serve } from './server.mjs';
import { configFolder, invented, networks } from './world.mjs';

const program = process.env.MWAN3_BIN;
assert.ok(program, 'MWAN3_BIN must name the program');
const check = load('mwan3.check');

function run(args, environment) {
  const done = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
  assert.ok(done.stdout, `${program} ${args.join(' ')}: ${done.stderr}`);
  return JSON.parse(done.stdout);
}

const schema = run([ 'schema', '--json' ]);
const PAGES = { globals: 'globals', interface: 'interface', member: 'member', policy: 'policy', rule: 'rule', alert: 'notify' };
/* Shown by the rows of a policy. */
const ELSEWHERE = [ 'policy.use_member' ];

const WORLD_WITH_ALERT = "\nconfig alert 'boss'\n\toption method 'mail'\n\tlist to 'a@example.org'\n";

test('every option of the parser has one field that says what the parser says', { skip: LUCI && 'reads the stand-in' }, async () => {
  const browser = await launch();
  try {
    for (const [ kind, page ] of Object.entries(PAGES)) {
      const world = configFolder(WORLD_WITH_ALERT);
      const server = await serve({ page: `admin/network/mwan3/${page}`, backend: invented(), configFolder: world.folder, networks, files: { '/etc/mwan3.user': '' } });
      const tab = await browser.open();
      try {
        await tab.goto(server.url);
        const fields = (await tab.run(() => window.__fields())).filter(field => field.section == kind);
        for (const spec of schema.filter(spec => spec.section == kind && !ELSEWHERE.includes(`${kind}.${spec.name}`)))
          compare(spec, fields.filter(field => field.option == spec.name && field.modalonly !== false));
        assert.deepEqual(tab.errors, []);
      } finally {
        server.close();
        world.remove();
      }
    }
  } finally {
    await browser.close();
  }
});

function compare(spec, found) {
  const name = `${spec.section}.${spec.name}`;
  assert.equal(found.length, 1, `${name}: ${found.length} fields`);
  const [ field ] = found, value = spec.default?.value;
  assert.ok(field.retain, `${name}: hiding the field would delete the value`);
  assert.ok(field.title && field.title != '', `${name} has no title`);
  if (spec.type == 'bool')
    return assert.equal(field.default, value, `${name}: default`);
  assert.equal(field.default, null, `${name}: LuCI deletes what is equal to a default`);
  assert.equal(field.placeholder ?? '', value ?? (spec.default?.same_as != null ? `as ${spec.default.same_as}` : ''), `${name}: placeholder`);
  assert.equal(field.rmempty, spec.default != 'required', `${name}: required`);
  for (const choice of spec.choices ?? [])
    assert.ok(field.choices.includes(choice), `${name} does not offer ${choice}`);
  if (spec.type == 'choice')
    assert.deepEqual(field.choices.filter(choice => choice != ''), spec.choices, `${name}: choices`);
}

test('options without a place of their own come under Expert', { skip: LUCI && 'reads the stand-in' }, () => {
  const { LAYOUT } = layoutOnly();
  const placed = kind => (LAYOUT[kind] ?? []).flatMap(tab => tab.options.map(option => option[0]));
  const unplaced = schema.filter(spec => !ELSEWHERE.includes(`${spec.section}.${spec.name}`) && !placed(spec.section).includes(spec.name)).map(spec => `${spec.section}.${spec.name}`);
  assert.deepEqual(unplaced, [ 'interface.device', 'interface.gateway' ]);
});

/* fields.js with a form that is not there: only its list is read. */
function layoutOnly() {
  const nothing = { extend: () => ({}) };
  return load('mwan3.fields', { form: { Flag: nothing, Value: nothing, ListValue: nothing, DynamicList: nothing }, uci: {}, 'tools.widgets': {} });
}

const NUMBERS = [ '0', '1', '2', '5', '07', '+1', '-1', '1.5', '1e3', ' 3 ', '19', '20', '21', '99', '100', '101', '255', '256', '257', '1000', '1001', '65507', '65508', '65535', '65536', '600000', '600001', '999999', '1000000',
  '1000001', '2147483', '2147484', '4294967295', '4294967296', 'ten', '0x10', '5 s' ];
const SAMPLES = {
  bool: [ '1', '0', 'on', 'off', 'yes', 'no', 'true', 'false', 'enabled', 'disabled', 'YES', '2', 'maybe' ],
  number: NUMBERS,
  duration: [ ...NUMBERS, '0.5', '.5', '5.', '.', '200ms', '200 ms', '10s', '10 s', '0.009', '0.01', '3600', '3601', '86400', '86401', '1m', 's', 'ms', '9999999999999' ],
  choice: [ 'online', 'offline', 'any', 'ipv4', 'ipv6', 'ping', 'http', 'err', 'error', 'warn', 'panic', '3', '8', 'Ping', 'connected', 'unreachable', 'all' ],
  mask: [ '0x3F00', '0X3f00', '3f00', '16128', '0x7', '0x3', '7', '0', '0xffffffff', '0x100000000', '4294967295', '4294967296', '0x', '-1', '+7', 'banana' ],
  routing_table: [ '220', '0x10', '0', 'main', 'default', 'local', 'vpn', '4294967295', '4294967296', '-1' ],
  host: [ '1.1.1.1', 'example.org', 'a-b_c', '2001:db8::1', 'fe80::1%eth0', '-x', 'ex!', 'ü', '%', 'a'.repeat(255), 'a'.repeat(256) ],
  ip_address: [ '1.1.1.1', '01.1.1.1', '1.1.1', '1.1.1.256', '::', '::1', '2001:db8::1', '1::2::3', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7::', '::1.2.3.4', '1.2.3.4::', ':::', 'x' ],
  addresses: [ '10.0.0.0/8', '10.1.2.3', '10.0.0.0/33', '10.0.0.0/', '/8', '10.0.0.0/255.0.0.0', '0.0.0.1/0.0.0.1', '10.0.0.0/ffff::', '2001:db8::/32', '2001:db8::/129', '::/0', '10.0.0.0/+8', '10.0.0.0/008', 'host', ',', '10.0.0.0/8,' ],
  ports: [ '80', '0', '65535', '65536', '80-90', '80:90', '90-80', '80-', '-80', '1-2-3', 'http', '80,443', '80, 443', '22,1024:2048', '80,,443', ',' ],
  protocol: [ 'tcp', 'TCP', 'all', 'any', '0', '6', '255', '256', 'icmp', 'icmpv6', 'ipv6-icmp', 'sctp', 'foo', 'tcp udp' ],
  device: [ 'eth0', 'wwan0.5', 'a/b', 'a:b', '.', '..', 'a'.repeat(15), 'a'.repeat(16), 'b c', '@wan' ],
  ipset: [ 'kids', '!kids', '! kids', '!', 'a b', 'a-b/c', 'ü' ],
  address_and_port: [ '127.0.0.1:9101', '[::1]:9101', '::1:9101', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:65536', 'localhost:80', ':80' ],
  session_fate: [ 'keep', 'drop', 'drop_udp', 'drain', 'drain 60', 'drain 500ms', 'drain 0', 'drain 86400', 'drain 86401', 'drop udp', 'Keep' ],
  daily_window: [ '02:00-04:30', '22:00-06:00', '2:5-3:0', '24:00-1:00', '24:01-1:00', '1:60-2:00', '1:00-1:00', '1:00', '1-2', 'a:b-c:d' ]
};
/* What makes the section around the option whole. */
const AROUND = { rule: "\toption use_policy 'default'\n", member: "\toption interface 'wan'\n", alert: "\toption method 'scripts'\n\tlist to '/tmp'\n" };
const WITH = { src_port: "\toption proto 'tcp'\n", dest_port: "\toption proto 'tcp'\n" };

test('the forms take what the parser takes, and refuse what it refuses', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mwan3-forms-'));
  let compared = 0;
  const differing = [];
  try {
    for (const spec of schema.filter(spec => SAMPLES[spec.type] && !(spec.section == 'alert' && spec.name == 'enabled'))) {
      const samples = SAMPLES[spec.type], isGlobal = spec.section == 'globals';
      const verdicts = isGlobal ? samples.map(sample => refused(folder, spec, [ sample ])[0]) : refused(folder, spec, samples);
      samples.forEach((sample, at) => {
        const said = check.problem(spec, sample) != null;
        if (said != verdicts[at])
          differing.push(`${spec.section}.${spec.name} '${sample}': the form ${said ? 'refuses' : 'takes'} it, the parser does not`);
        compared++;
      });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  assert.deepEqual(differing, []);
  assert.ok(compared > 500, `${compared} values`);
});

/* For each sample, whether the parser complains of it. */
function refused(folder, spec, samples) {
  const sections = samples.map((sample, at) => `config ${spec.section} '${spec.section == 'globals' ? 'globals' : `s${at}`}'\n`
    + (AROUND[spec.section] ?? '') + (WITH[spec.name] ?? '') + `\toption ${spec.name} '${sample}'\n`);
  const head = spec.section == 'interface' ? "config globals 'globals'\n\toption mmx_mask '0x00FFFF00'\n" : "config interface 'wan'\n";
  writeFileSync(join(folder, 'mwan3'), head + sections.join('\n'));
  const problems = run([ 'check', '--json' ], { UCI_CONFIG_DIR: folder, MWAN3_RUN_DIR: folder });
  const isAbout = (problem, at) => (problem.option == spec.name || problem.text.startsWith(`no usable value of ${spec.name};`)) && problem.section?.name == (spec.section == 'globals' ? 'globals' : `s${at}`);
  return samples.map((_, at) => problems.some(problem => isAbout(problem, at) && problem.severity != 'note' && !isOfMeaning(problem)));
}

/* Values that can be read, but make no sense with others. */
function isOfMeaning(problem) {
  return /targets must answer|can never answer|no effect|shorter than|not an IPv[46] address|other family|ARP is IPv4/.test(problem.text);
}

test('the computed times are those that mwan3 check -v tells', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mwan3-forms-'));
  const timings = [ {}, { interval: '2', timeout: '0.8', down: '3', confirm_interval: '0.2' }, { interval: '1', timeout: '200ms', up: '1', failure_interval: '5' },
    { failure_interval: '3', keep_failure_interval: 'yes' }, { recovery_interval: '0.5s', up: '9', down: '1' }, { interval: '0.01', timeout: '0.01' } ];
  try {
    for (const timing of timings) {
      const options = Object.entries(timing).map(([ name, value ]) => `\toption ${name} '${value}'\n`).join('');
      writeFileSync(join(folder, 'mwan3'), `config interface 'wan'\n\toption enabled '1'\n\tlist track_ip '1.1.1.1'\n${options}`);
      const { stdout } = spawnSync(program, [ 'check', '-v' ], { encoding: 'utf8', env: { ...process.env, UCI_CONFIG_DIR: folder, MWAN3_RUN_DIR: folder } });
      const promise = check.promise(name => effective(timing, name), 1);
      const range = ([ best, worst ]) => `${check.seconds(best)} to ${check.seconds(worst)} s`;
      assert.ok(stdout.includes(`left after ${range(promise.left)}, a link that works again is used after ${range(promise.used)}`), `${JSON.stringify(timing)}: ${JSON.stringify(promise)}\n${stdout}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function effective(values, name) {
  const spec = schema.find(spec => spec.section == 'interface' && spec.name == name);
  return values[name] ?? spec.default?.value ?? effective(values, spec.default.same_as);
}
