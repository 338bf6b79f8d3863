// An invented router for pictures and for what a real one cannot be made to say. The shapes are those of
// docs/reference/ubus.md; a test compares them with the program's own (real.test.mjs).
import { appendFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));

/* A copy that the pages may write to. */
export function configFolder(more = '') {
  const folder = mkdtempSync(join(tmpdir(), 'mwan3-world-'));
  cpSync(join(HERE, 'world'), folder, { recursive: true });
  appendFileSync(join(folder, 'mwan3'), more);
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const network = (name, device, metric, address, gateway) => ({ interface: name, up: true, device, l3_device: device, proto: 'dhcp', metric,
  'ipv4-address': address ? [ { address, mask: 24 } ] : [], 'ipv6-address': [], route: gateway ? [ { target: '0.0.0.0', mask: 0, nexthop: gateway } ] : [], uptime: 5000, data: {} });

export const networks = [ network('lan', 'br-lan', 0, '192.168.1.1'), network('fibre', 'eth1', 10, '192.0.2.2', '192.0.2.1'), network('cable', 'eth2', 20, '198.51.100.2', '198.51.100.1'),
  network('lte', 'wwan0', 0, '203.0.113.2'), network('dsl', 'eth3', 40, '100.64.0.2', '100.64.0.1') ];

const wave = (base, spread, lost) => Array.from({ length: 64 }, (_, at) => lost(at) ? null : Math.round(base + spread * (Math.sin(at * 1.7) + Math.sin(at * 0.53) + (at % 11 == 0 ? 2 : 0))));

const uplink = values => ({ status: 'online', tracking: 'active', since: 0, up: 0, targets: 0, id: 1, family: 'ipv4', enabled: true, mark: 256, rx_bytes: 0, tx_bytes: 0, taken_down: false, ...values });

export const replies = {
  service: { version: '3.0.0', running: true, tracker: true, uptime: 93600, probes: 80000, repairs: 0, errors: 1, warnings: 1 },
  uplinks: { tracker: true, running: true, uplinks: [
    uplink({ name: 'fibre', since: 93600, up: 2, targets: 2, rtt: 114, loss: 0, device: 'eth1', address: '192.0.2.2', gateway: '192.0.2.1', metric: 10, rx_bytes: 9812345678, tx_bytes: 812345678 }),
    uplink({ name: 'cable', id: 2, status: 'offline', since: 421, up: 0, targets: 1, rtt: 236, loss: 312, device: 'eth2', address: '198.51.100.2', gateway: '198.51.100.1', metric: 20, rx_bytes: 812345678, tx_bytes: 92345678 }),
    uplink({ name: 'lte', id: 3, since: 7200, up: 1, targets: 1, rtt: 458, loss: 15, device: 'wwan0', address: '203.0.113.2', rx_bytes: 12345678, tx_bytes: 2345678 }),
    uplink({ name: 'fibre6', id: 4, status: 'unknown', tracking: 'disabled', family: 'ipv6', enabled: false }) ] },
  history: { tracker: true, seq: 1000, interfaces: {
    fibre: { rtt: wave(112, 8, () => false) }, cable: { rtt: wave(230, 25, at => at > 43 || at == 20) }, lte: { rtt: wave(450, 60, at => at == 30) } } },
  events: { tracker: true, seq: 4, events: [
    { seq: 1, ago: 93600, interface: 'fibre', event: 'connected', reason: 'answers from 1.1.1.1, 9.9.9.9' },
    { seq: 2, ago: 7200, interface: 'lte', event: 'connected', reason: '5 good rounds in a row' },
    { seq: 3, ago: 425, interface: 'cable', event: 'disconnecting', reason: 'no answer from 1.0.0.1' },
    { seq: 4, ago: 421, interface: 'cable', event: 'disconnected', reason: '3 rounds in a row failed: no answer from 1.0.0.1' } ] },
  rules: { running: true, total: 4, rules: [
    { name: 'video', proto: 'udp', src_ip: [ '192.168.1.0/26' ], dest_port: [ '3478-3481', '8801-8810' ], use_policy: 'lte_only', ipv4: { packets: 120, bytes: 98000 } },
    { name: 'web', proto: 'tcp', dest_port: [ '80', '443' ], sticky: true, timeout: 600, use_policy: 'balanced', ipv4: { packets: 51234, bytes: 4012345 }, ipv6: { packets: 12, bytes: 960 } },
    { name: 'backup', proto: 'tcp', dest_ip: [ '203.0.113.7', '203.0.113.8' ], use_policy: 'lte_only', ipv4: { packets: 0, bytes: 0 } },
    { name: 'everything', proto: 'all', dest_ip: [ '0.0.0.0/0' ], families: [ 'ipv4' ], use_policy: 'balanced', ipv4: { packets: 88122, bytes: 9123456 } } ] },
  policies: { running: true, connections: { fibre: 212, cable: 3, lte: 14 }, policies: [
    { name: 'balanced', family: 'ipv4', last_resort: 'unreachable', members: [
      { member: 'fibre_m1_w3', interface: 'fibre', metric: 1, weight: 3, target: 600, actual: 1000, role: 'active' },
      { member: 'cable_first', interface: 'cable', metric: 1, weight: 2, target: 400, actual: 0, role: 'down' },
      { member: 'lte_last', interface: 'lte', metric: 2, weight: 1, target: 0, actual: 0, role: 'standby' } ] },
    { name: 'lte_only', family: 'ipv4', last_resort: 'blackhole', members: [
      { member: 'lte_last', interface: 'lte', metric: 2, weight: 1, target: 1000, actual: 1000, role: 'active' } ] },
    { name: 'cable_only', family: 'ipv4', last_resort: 'unreachable', members: [
      { member: 'cable_first', interface: 'cable', metric: 1, weight: 2, target: 1000, actual: 0, role: 'down' } ] } ] },
  check: { errors: 1, warnings: 1, notes: 2, differs: 0, problems: [
    { severity: 'error', file: '/etc/config/mwan3', line: 41, section: { kind: 'rule', name: 'backup' }, option: 'dest_port', value: '80-8', text: 'a range that ends before it begins; left out', used: null },
    { severity: 'warning', file: '/etc/config/mwan3', line: 22, section: { kind: 'interface', name: 'lte' }, option: null, value: null,
      text: 'table main has no IPv4 default route by wwan0: nothing can be sent by this interface', used: null },
    { severity: 'note', file: '/etc/config/mwan3', line: 50, section: { kind: 'member', name: 'nobody' }, option: null, value: null, text: 'used by no policy', used: null },
    { severity: 'note', file: '/etc/config/mwan3', line: 60, section: { kind: 'policy', name: 'cable_only' }, option: null, value: null, text: 'used by no rule', used: null } ] },
  test: { id: 7 },
  test_result: { id: 7, done: true, interface: 'fibre', status: 'online', good: true, verdict: '1 of 2 targets answered, 1 needed: the link works', targets: [
    { target: '1.1.1.1', answered: true, rtt: 114 }, { target: '9.9.9.9', answered: false, reason: 'no answer in time' } ] },
  explain: { family: 'ipv4', src: '192.168.1.50', dest: '198.51.100.80', proto: 'tcp', port: 443, device: 'br-lan', stage: 'rule', verdict: 'uplink', certain: true,
    rule: 'web', rule_number: 2, policy: 'balanced', sticky: true, rules: 4,
    ways: [ { table: 1, device: 'eth1', gateway: '192.0.2.1', source: '192.0.2.2', interface: 'fibre', percent: 100, weight: 3, mark: '0x100', place: 'leaves' } ], ways_more: 0,
    members: [ { interface: 'fibre', metric: 1, weight: 3, state: 'active' }, { interface: 'cable', metric: 1, weight: 2, state: 'down' }, { interface: 'lte', metric: 2, weight: 1, state: 'standby' } ], members_more: 0,
    maybe: [], maybe_more: 0, not_matched: [ { rule: 'video', number: 1, test: 'protocol udp', found: 'tcp' } ], not_matched_more: 0,
    why: [ 'rule web is the first that matches, 1 before it do not', 'the rule is sticky, and remembers nothing for this source yet', 'tier 1 is the lowest of policy balanced with a usable member' ], why_more: 0 },
  status: { interfaces: {}, connected: { ipv4: [], ipv6: [] }, policies: { ipv4: {}, ipv6: {} } }
};

/* `change(replies)` may edit a copy. */
export function invented(change) {
  const copy = structuredClone(replies);
  change?.(copy);
  return (object, method, args) => {
    if (object == 'exec')
      return { code: 0, stdout: `output of ${method}\nInterface status:\n interface fibre is online and tracking is active\n` };
    if (method == 'history' && args.since_seq > 0)
      return { tracker: true, seq: copy.history.seq, interfaces: {} };
    if (method == 'events' && args.since_seq > 0)
      return { tracker: true, seq: copy.events.seq, events: [] };
    return copy[method] ?? 3;
  };
}
