// The pages' arithmetic and words, without a browser.
import test from 'node:test';
import assert from 'node:assert/strict';
import { load } from './modules.mjs';
import { replies } from './world.mjs';

const model = load('mwan3.model'), check = load('mwan3.check'), references = load('mwan3.references'), preview = load('mwan3.preview'), explain = load('mwan3.explain');
const uplink = values => ({ enabled: true, status: 'online', tracking: 'active', since: 5, ...values });

test('an uplink has one state, and a disabled one is never good', () => {
  assert.deepEqual(model.stateOf(uplink({})), { kind: 'good', word: 'Online', since: 5 });
  assert.equal(model.stateOf(uplink({ enabled: false })).kind, 'off');
  assert.equal(model.stateOf(uplink({ tracking: 'disabled' })).word, 'Online, not probed');
  assert.equal(model.stateOf(uplink({ status: 'offline' })).kind, 'bad');
  assert.equal(model.stateOf(uplink({ status: 'connecting' })).word, 'Recovering');
  assert.equal(model.stateOf(uplink({ taken_down: true, status: 'offline' })).word, 'Taken out by hand');
  assert.equal(model.stateOf(uplink({ status: 'something new' })).word, 'Unknown');
});

test('an uplink that is not probed has no answers', () => {
  assert.equal(model.targetWords(uplink({ targets: 2, up: 2 })), '2 of 2 answer');
  assert.equal(model.targetWords(uplink({ targets: 2, up: 2, status: 'disabled' })), '2, not probed now');
  assert.equal(model.targetWords(uplink({ targets: 0 })), 'none, not probed');
});

test('durations read well at every size', () => {
  assert.deepEqual([ 0, 59, 60, 3599, 3600, 93600, -5, undefined ].map(model.duration), [ '0 s', '59 s', '1 min', '59 min', '1 h 0 min', '1 d 2 h', '0 s', '0 s' ]);
});

test('round trips, shares and amounts have few digits', () => {
  assert.deepEqual([ null, 4, 114, 2345 ].map(model.roundTrip), [ '–', '0.4 ms', '11.4 ms', '235 ms' ]);
  assert.deepEqual([ null, 0, 15, 600, 333, 1000 ].map(model.percent), [ '–', '0 %', '1.5 %', '60 %', '33 %', '100 %' ]);
  assert.deepEqual([ 0, 999, 1000, 9812345678 ].map(model.bytes), [ '0 B', '999 B', '1.0 kB', '9.8 GB' ]);
  assert.equal(model.count(1234567), '1\u202f234\u202f567');
});

test('a rate needs two readings, and a counter that went back gives none', () => {
  assert.deepEqual(model.rates(null, { rx_bytes: 5, tx_bytes: 5 }, 1000), { down: null, up: null });
  assert.deepEqual(model.rates({ rx_bytes: 0, tx_bytes: 9 }, { rx_bytes: 1000, tx_bytes: 3 }, 2000), { down: 4000, up: null });
  assert.equal(model.rate(4000), '4.0 kbit/s');
});

test('statistics tell losses from answers', () => {
  assert.deepEqual(model.statistics([ 10, null, 20, 30 ]), { rounds: 4, loss: 250, mean: 20, max: 30, last: 30 });
  assert.deepEqual(model.statistics([]), { rounds: 0, loss: null, mean: null, max: null, last: null });
});

test('the picture breaks its line at a loss and keeps the newest at the right edge', () => {
  const drawn = model.spark([ 10, null, 20 ], 252, 48);
  assert.equal(drawn.lines.length, 2);
  assert.equal(drawn.losses.length, 1);
  assert.equal(drawn.lines[1][0][0], 252);
  const heights = model.spark([ 100, 100, 9000, 100 ], 252, 48).lines[0].map(point => point[1]);
  assert.equal(heights[2], 2, 'one late answer reaches the top');
  assert.ok(heights[0] < 40, 'and leaves the others to be seen');
});

test('what a poll brings is appended, and what is too old goes', () => {
  assert.deepEqual(model.append([ 1, 2 ], [ 3 ]), [ 1, 2, 3 ]);
  assert.deepEqual(model.append(undefined, undefined), []);
  assert.equal(model.append(Array(64).fill(1), [ 2 ]).length, 64);
});

test('the headline counts enabled uplinks only', () => {
  assert.deepEqual(model.headline(replies.uplinks.uplinks), { kind: 'warn', text: '2 of 3 uplinks are online' });
  assert.equal(model.headline([ uplink({}) ]).text, 'The only uplink is online');
  assert.equal(model.headline([ uplink({ enabled: false }) ]).kind, 'warn');
  assert.equal(model.headline([ uplink({ status: 'offline' }) ]).kind, 'bad');
});

test('a policy without anybody left says what happens then', () => {
  const [ balanced, , lost ] = replies.policies.policies.map(policy => model.policyView(policy));
  assert.equal(balanced.fallback, null);
  assert.equal(lost.fallback, 'refused');
  assert.ok(balanced.members[0].uneven);
});

test('rules are told in words', () => {
  assert.equal(model.ruleWords({ proto: 'tcp', dest_port: [ '80', '443' ] }), 'TCP to port 80 or 443');
  assert.equal(model.ruleWords({ proto: 'udp', src_ip: [ '10.0.0.0/8' ], src_iface: 'lan', dest_port: [ '1024:2048' ] }), 'UDP coming in by lan from 10.0.0.0/8 to port 1024–2048');
  assert.equal(model.ruleWords({ dest_ip: [ '0.0.0.0/0' ], families: [ 'ipv4' ] }), 'all IPv4 traffic');
  assert.equal(model.ruleWords({ dest_ip: [ '::/0' ] }), 'all IPv6 traffic');
  assert.equal(model.ruleWords({ families: [ 'ipv6' ], proto: 'tcp' }), 'TCP IPv6');
  assert.equal(model.ruleWords({}), 'all traffic');
  assert.equal(model.ruleWords({ ipset: '!kids' }), 'to nobody in the set kids');
  assert.equal(model.ruleWords({ src_ip: [ '1.2.3.4' ], dest_ip: [ '0.0.0.0/0' ] }), 'from 1.2.3.4 to 0.0.0.0/0');
});

test('hits count both families, and a rule that is not in force has none', () => {
  assert.deepEqual(model.hits(replies.rules.rules[1]), { packets: 51246, bytes: 4013305 });
  assert.deepEqual(model.hits({ packets: 3, bytes: 9 }), { packets: 3, bytes: 9 });
  assert.equal(model.hits({ name: 'left out' }), null);
});

test('every finding leads to the page that mends it', () => {
  const [ rule, uplink ] = replies.check.problems.map(problem => model.problemView(problem));
  assert.deepEqual([ rule.kind, rule.page, rule.section ], [ 'bad', 'admin/network/mwan3/rule', 'backup' ]);
  assert.deepEqual([ uplink.kind, uplink.page, uplink.section ], [ 'warn', 'admin/network/network', null ]);
});

test('a service that is away, stopped or blind is told first', () => {
  assert.equal(model.serviceProblems(null)[0].id, 'absent');
  assert.equal(model.serviceProblems({ running: false })[0].action, 'start');
  assert.equal(model.serviceProblems({ running: true, tracker: false })[0].id, 'untracked');
  assert.deepEqual(model.serviceProblems({ running: true, tracker: true }, { differs: 0 }), []);
});

test('a question is cleaned, and a bad one is not sent', () => {
  assert.deepEqual(model.question({ dest: ' 1.1.1.1 ', port: '443' }, check), { question: { dest: '1.1.1.1', proto: 'tcp', port: 443 } });
  assert.deepEqual(model.question({ dest: '2001:db8::1', src: 'fd00::5', proto: 'icmp', port: '8' }, check), { question: { dest: '2001:db8::1', src: 'fd00::5', proto: 'icmp' } });
  for (const [ input, field ] of [ [ { dest: 'example.org' }, 'dest' ], [ { dest: '1.1.1.1', src: 'x' }, 'src' ], [ { dest: '1.1.1.1', src: '::1' }, 'src' ], [ { dest: '1.1.1.1', port: '99999' }, 'port' ] ])
    assert.equal(model.question(input, check).field, field);
});

test('an explanation names rule, policy, way and reasons', () => {
  const answer = explain.answer(replies.explain);
  assert.equal(answer.title, 'It takes the uplink fibre.');
  assert.deepEqual(answer.facts[0], [ 'Rule', 'web (2 of 4)' ]);
  assert.match(answer.facts[2][1], /eth1 to 192\.0\.2\.1.*mark 0x100/);
  assert.equal(answer.passed.length, 1);
  assert.equal(explain.answer({ verdict: 'unreachable' }).kind, 'bad');
  assert.equal(explain.answer({ error: 'no' }).title, 'no');
});

const sections = [
  { '.type': 'interface', '.name': 'wan' }, { '.type': 'interface', '.name': 'wanb' },
  { '.type': 'member', '.name': 'wan_m1_w3', interface: 'wan', weight: '3' }, { '.type': 'member', '.name': 'mine', interface: 'wanb', metric: '1', weight: '2' },
  { '.type': 'member', '.name': 'shared', interface: 'wanb', metric: '2' },
  { '.type': 'policy', '.name': 'balanced', use_member: [ 'wan_m1_w3', 'mine', 'shared' ] }, { '.type': 'policy', '.name': 'other', use_member: 'shared' },
  { '.type': 'rule', '.name': 'all', use_policy: 'balanced' } ];
const rowsOf = name => references.rows(sections, sections.find(section => section['.name'] == name));

test('who names a section is found, also where a list was written as one word', () => {
  assert.deepEqual(references.users(sections, 'member', 'shared').map(user => user.name), [ 'balanced', 'other' ]);
  assert.deepEqual(references.users(sections, 'policy', 'balanced').map(user => user.name), [ 'all' ]);
});

test('a rename reaches everybody, a removal leaves the others in place', () => {
  assert.deepEqual(references.retarget(sections, 'policy', 'balanced', 'fair'), [ { section: 'all', option: 'use_policy', value: 'fair' } ]);
  assert.deepEqual(references.retarget(sections, 'member', 'mine', null), [ { section: 'balanced', option: 'use_member', value: [ 'wan_m1_w3', 'shared' ] } ]);
  assert.deepEqual(references.retarget(sections, 'member', 'shared', null)[1], { section: 'other', option: 'use_member', value: null });
});

test('names are free, plain and without meaning of their own', () => {
  assert.equal(references.nameProblem(sections, 'a_rather_long_name_of_more_than_15', 'rule'), null);
  for (const [ name, kind ] of [ [ 'wan', 'rule' ], [ 'with space', 'rule' ], [ 'default', 'policy' ], [ '', 'rule' ] ])
    assert.notEqual(references.nameProblem(sections, name, kind), null, name);
});

test('rows that say what they said keep their members', () => {
  assert.deepEqual(references.membersFor(sections, 'balanced', rowsOf('balanced')), { use: [ 'wan_m1_w3', 'mine', 'shared' ], create: [], change: [] });
});

test("a member of a policy's own is changed in place, a shared one is left alone", () => {
  const rows = rowsOf('balanced');
  rows[1].weight = '5';
  rows[2].metric = '3';
  const todo = references.membersFor(sections, 'balanced', rows);
  assert.deepEqual(todo.change, [ { name: 'mine', interface: 'wanb', metric: '1', weight: '5' } ]);
  assert.deepEqual(todo.create, [ { name: 'wanb_m3_w1', interface: 'wanb', metric: '3', weight: '1', from: null } ]);
  assert.deepEqual(todo.use, [ 'wan_m1_w3', 'mine', 'wanb_m3_w1' ]);
});

test('a name that tells tier and weight never lies', () => {
  const rows = rowsOf('balanced');
  rows[0].weight = '4';
  const todo = references.membersFor(sections, 'balanced', rows);
  assert.deepEqual(todo.create, [ { name: 'wan_m1_w4', interface: 'wan', metric: '1', weight: '4', from: 'wan_m1_w3' } ]);
});

test('a row that says what a member says uses that member', () => {
  const todo = references.membersFor(sections, 'other', [ { member: null, interface: 'wanb', metric: '1', weight: '2' } ]);
  assert.deepEqual(todo, { use: [ 'mine' ], create: [], change: [] });
});

test('the preview shares by weight within a tier and family', () => {
  const family = name => name.endsWith('6') ? 'ipv6' : 'ipv4';
  const rows = [ { interface: 'wan', metric: '1', weight: '3' }, { interface: 'wanb', metric: '1', weight: '2' }, { interface: 'lte', metric: '2', weight: '1' }, { interface: 'wan6', metric: '7', weight: '1' },
    { interface: 'wan', metric: '', weight: '1' }, { missing: true } ];
  assert.deepEqual(preview.shares(rows, family), [ '60 %', '40 %', 'stands by', '100 %', '', '' ]);
  assert.deepEqual(preview.words(rows, family, 'refused'), [ 'IPv4: wan 60 % + wanb 40 %; if that is down: lte; if nobody is left: refused', 'IPv6: wan6; if nobody is left: refused' ]);
  assert.deepEqual(preview.words([], family, 'dropped'), [ 'IPv4: always dropped', 'IPv6: always dropped' ]);
});
