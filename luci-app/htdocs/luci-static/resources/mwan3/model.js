'use strict';
'require baseclass';

/* What the pages say about the service's replies. Pure: no DOM, no RPC. */

const HISTORY = 64;
const UNEVEN_PERMILLE = 50;

const STATES = {
	online: [ 'good', () => _('Online') ],
	offline: [ 'bad', () => _('Offline') ],
	connecting: [ 'warn', () => _('Recovering') ],
	disconnecting: [ 'warn', () => _('Failing') ],
	disabled: [ 'bad', () => _('Interface down') ],
	unknown: [ 'warn', () => _('Unknown') ]
};

const EVENTS = {
	connected: [ 'good', () => _('online') ],
	disconnected: [ 'bad', () => _('offline') ],
	connecting: [ 'warn', () => _('recovering') ],
	disconnecting: [ 'warn', () => _('failing') ],
	restored: [ 'good', () => _('well again') ],
	'fell-back': [ 'bad', () => _('down again') ],
	disabled: [ 'warn', () => _('interface down') ],
	repaired: [ 'note', () => _('kernel mended') ],
	ifup: [ 'note', () => _('interface up') ],
	ifdown: [ 'warn', () => _('interface down') ]
};

const LAST_RESORTS = {
	unreachable: () => _('refused'),
	blackhole: () => _('dropped'),
	default: () => _('by the main routing table')
};

const PAGES = { interface: 'interface', member: 'member', policy: 'policy', rule: 'rule', globals: 'globals' };

const sum = numbers => numbers.reduce((total, number) => total + number, 0);
const clamp = (number, low, high) => Math.min(Math.max(number, low), high);
const words = value => Array.isArray(value) ? value : value == null ? [] : [ `${value}` ];
const either = items => items.length < 2 ? items.join('') : _('%s or %s').format(items.slice(0, -1).join(', '), items[items.length - 1]);

return baseclass.extend({
	/* kind (good, warn, bad, off) for the colour, word and seconds for people. */
	stateOf(uplink) {
		const state = (kind, word) => ({ kind, word, since: uplink.since ?? 0 });
		if (!uplink.enabled)
			return { kind: 'off', word: _('Disabled'), since: 0 };
		if (uplink.taken_down)
			return state('warn', _('Taken out by hand'));
		if (uplink.status == 'online' && uplink.tracking == 'disabled')
			return state('good', _('Online, not probed'));
		const [ kind, word ] = STATES[uplink.status] ?? STATES.unknown;
		return state(kind, word());
	},

	/* 45 s, 12 min, 3 h 5 min, 2 d 4 h */
	duration(seconds) {
		const s = Math.max(0, Math.trunc(+seconds || 0));
		if (s < 60)
			return _('%d s').format(s);
		if (s < 3600)
			return _('%d min').format(Math.floor(s / 60));
		if (s < 86400)
			return _('%d h %d min').format(Math.floor(s / 3600), Math.floor(s / 60) % 60);
		return _('%d d %d h').format(Math.floor(s / 86400), Math.floor(s / 3600) % 24);
	},

	/* Only what is up and has targets is probed. */
	isProbed(uplink) {
		return uplink.enabled && uplink.targets > 0 && ![ 'disabled', 'unknown' ].includes(uplink.status);
	},

	targetWords(uplink) {
		if (!uplink.targets)
			return _('none, not probed');
		return this.isProbed(uplink) ? _('%d of %d answer').format(uplink.up ?? 0, uplink.targets) : _('%d, not probed now').format(uplink.targets);
	},

	/* Tenths of a millisecond: 11.4 ms, 240 ms */
	roundTrip(tenths) {
		if (tenths == null)
			return '–';
		return tenths < 1000 ? '%.1f ms'.format(tenths / 10) : '%d ms'.format(Math.round(tenths / 10));
	},

	percent(permille) {
		if (permille == null)
			return '–';
		return permille % 10 == 0 || permille >= 100 ? '%d %%'.format(Math.round(permille / 10)) : '%.1f %%'.format(permille / 10);
	},

	count(number) {
		return '%d'.format(number ?? 0).replace(/\B(?=(\d{3})+$)/g, '\u202f');
	},

	bytes(number) {
		const units = [ 'B', 'kB', 'MB', 'GB', 'TB' ];
		let value = +number || 0, at = 0;
		for (; value >= 1000 && at < units.length - 1; at++)
			value /= 1000;
		return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
	},

	/* bits per second from two readings of the byte counters; null before there are two */
	rates(before, now, elapsed_ms) {
		const of = key => {
			const moved = (now?.[key] ?? 0) - (before?.[key] ?? 0);
			return before?.[key] == null || elapsed_ms <= 0 || moved < 0 ? null : Math.round(moved * 8000 / elapsed_ms);
		};
		return { down: of('rx_bytes'), up: of('tx_bytes') };
	},

	rate(bits) {
		if (bits == null)
			return '–';
		const units = [ 'bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s' ];
		let value = bits, at = 0;
		for (; value >= 1000 && at < units.length - 1; at++)
			value /= 1000;
		return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
	},

	/* Appends what a poll brought to what is there. */
	append(known, news) {
		return [ ...(known ?? []), ...(news ?? []) ].slice(-HISTORY);
	},

	/* Over a history: null is a round that nobody answered. */
	statistics(history) {
		const answered = history.filter(rtt => rtt != null);
		return {
			rounds: history.length,
			loss: history.length ? Math.round(1000 * (history.length - answered.length) / history.length) : null,
			mean: answered.length ? Math.round(sum(answered) / answered.length) : null,
			max: answered.length ? Math.max(...answered) : null,
			last: answered.length ? answered[answered.length - 1] : null
		};
	},

	/* A history as lines, broken at losses, and the places of the losses; the newest at the right edge. */
	spark(history, width, height) {
		const step = width / Math.max(1, HISTORY - 1), first = HISTORY - history.length;
		const answered = history.filter(rtt => rtt != null).sort((a, b) => a - b), median = answered[answered.length >> 1] ?? 0;
		// One answer that came late must not press all others to the ground.
		const top = Math.max(20, Math.min(4 * median, Math.max(0, ...answered))) * 1.1;
		const lines = [], losses = [];
		let line = null;
		history.forEach((rtt, at) => {
			const x = +((first + at) * step).toFixed(1);
			if (rtt == null) {
				losses.push(x);
				line = null;
				return;
			}
			if (!line)
				lines.push(line = []);
			line.push([ x, +(height - 2 - (height - 4) * Math.min(1, rtt / top)).toFixed(1) ]);
		});
		return { lines, losses, step };
	},

	/* One sentence over everything. */
	headline(uplinks) {
		const enabled = uplinks.filter(uplink => uplink.enabled);
		const online = enabled.filter(uplink => uplink.status == 'online');
		if (!enabled.length)
			return { kind: 'warn', text: _('No uplink is enabled') };
		if (online.length == enabled.length)
			return { kind: 'good', text: N_(online.length, 'The only uplink is online', 'All %d uplinks are online').format(online.length) };
		if (!online.length)
			return { kind: 'bad', text: _('No uplink is online') };
		return { kind: 'warn', text: _('%d of %d uplinks are online').format(online.length, enabled.length) };
	},

	/* Members of a policy as bars: what they get now beside what they get when all is well. */
	policyView(policy) {
		const members = (policy.members ?? []).map(member => ({ ...member,
			uneven: member.role == 'active' && Math.abs(member.actual - member.target) > UNEVEN_PERMILLE }));
		return {
			name: policy.name, family: policy.family, members,
			fallback: members.some(member => member.actual > 0) ? null : this.lastResort(policy.last_resort)
		};
	},

	lastResort(word) {
		return (LAST_RESORTS[word] ?? LAST_RESORTS.unreachable)();
	},

	/* A rule's use_policy: a policy's name, or what the special words do. */
	targetWord(word) {
		return { unreachable: _('refuse'), blackhole: _('drop'), default: _('main routing table') }[word] ?? `${word ?? ''}`;
	},

	roleWord(role) {
		return { active: _('in use'), standby: _('stands by'), down: _('down') }[role] ?? role;
	},

	/* "TCP from 192.168.1.0/24 to port 80 or 443" */
	ruleWords(rule) {
		const parts = [], family = rule.families?.length == 1 ? rule.families[0] : null;
		const proto = `${rule.proto ?? 'all'}`;
		const ports = list => words(list).map(port => port.replace(':', '–').replace('-', '–'));
		if (proto != 'all')
			parts.push(proto.toUpperCase());
		if (family)
			parts.push(family == 'ipv4' ? 'IPv4' : 'IPv6');
		if (words(rule.src_iface).length)
			parts.push(_('coming in by %s').format(rule.src_iface));
		if (words(rule.src_ip).length)
			parts.push(_('from %s').format(either(words(rule.src_ip))));
		if (words(rule.src_port).length)
			parts.push(_('from port %s').format(either(ports(rule.src_port))));
		if (words(rule.dest_ip).length)
			parts.push(_('to %s').format(either(words(rule.dest_ip))));
		if (words(rule.dest_port).length)
			parts.push(_('to port %s').format(either(ports(rule.dest_port))));
		if (rule.ipset)
			parts.push((rule.ipset[0] == '!' ? _('to nobody in the set %s') : _('to somebody in the set %s')).format(rule.ipset.replace(/^!\s*/, '')));
		const isEverything = list => words(list).every(net => net == '0.0.0.0/0' || net == '::/0');
		const named = parts.length == (family ? 1 : 0) || (isEverything(rule.dest_ip) && parts.length == (family ? 2 : 1)
			&& words(rule.dest_ip).length);
		if (named && !words(rule.src_ip).length && proto == 'all')
			return family == 'ipv4' || words(rule.dest_ip)[0] == '0.0.0.0/0' ? _('all IPv4 traffic')
				: family == 'ipv6' || words(rule.dest_ip)[0] == '::/0' ? _('all IPv6 traffic') : _('all traffic');
		return parts.join(' ');
	},

	/* What the rule counted in both families; null where the kernel holds it in none. */
	hits(rule) {
		const counted = [ rule.ipv4, rule.ipv6 ].filter(counter => counter != null);
		if (!counted.length)
			return rule.packets == null ? null : { packets: rule.packets, bytes: rule.bytes };
		return { packets: sum(counted.map(one => one.packets)), bytes: sum(counted.map(one => one.bytes)) };
	},

	eventWord(event) {
		const [ kind, word ] = EVENTS[event] ?? [ 'note', () => event ];
		return { kind, word: word() };
	},

	/* What the reader should do about a finding of `mwan3 check`: { kind, text, where, page, section } */
	problemView(problem) {
		const section = problem.section, page = PAGES[section?.kind];
		const option = problem.option ? _('option %s').format(problem.option) + (problem.value != null ? ` '${problem.value}'` : '') : '';
		const isNetwork = /default route|no interface of this name|uses device|metric .* as that of/.test(problem.text ?? '');
		return {
			kind: { error: 'bad', warning: 'warn' }[problem.severity] ?? 'note',
			where: [ section ? `${section.kind} ${section.name}` : problem.file, option ].filter(word => word).join(', '),
			text: `${problem.text}${problem.used ? '; ' + _('in use instead: %s').format(problem.used) : ''}`,
			page: isNetwork ? 'admin/network/network' : page ? `admin/network/mwan3/${page}` : null,
			section: page && !isNetwork ? section.name : null,
			fix: isNetwork ? _('Network settings') : _('Edit')
		};
	},

	/* Findings about the service itself, which no configuration file is to blame for. */
	serviceProblems(service, check) {
		if (service == null)
			return [ { kind: 'bad', where: _('Service'), action: null, id: 'absent',
				text: _('The service does not answer. Is the package mwan3 installed, and does this login have the right to see it? A new installation needs a new login.') } ];
		if (!service.running)
			return [ { kind: 'bad', where: _('Service'), action: 'start', id: 'stopped',
				text: _('Load balancing is stopped: all traffic follows the main routing table.') } ];
		const found = [];
		if (service.tracker === false)
			found.push({ kind: 'bad', where: _('Tracker'), action: 'start', id: 'untracked',
				text: _('Nobody watches the uplinks: one that fails will not be left.') });
		if ((check?.differs ?? 0) > 0)
			found.push({ kind: 'note', where: _('Kernel'), action: null, id: 'differs',
				text: N_(check.differs, 'The kernel differs from what should be in one place; the tracker mends this, or "mwan3 reload" does.',
					'The kernel differs from what should be in %d places; the tracker mends this, or "mwan3 reload" does.').format(check.differs) });
		return found;
	},

	/* What somebody types into "Which way?", cleaned; or what is wrong with it. */
	question(input, check) {
		const text = key => `${input[key] ?? ''}`.trim();
		const family = check.familyOf(text('dest'));
		if (!family)
			return { error: _('The destination must be an address, such as 1.1.1.1'), field: 'dest' };
		if (text('src') && !check.familyOf(text('src')))
			return { error: _('The source must be an address'), field: 'src' };
		if (text('src') && check.familyOf(text('src')) != family)
			return { error: _('Source and destination must be of one family'), field: 'src' };
		if (text('port') && !(/^[0-9]+$/.test(text('port')) && clamp(+text('port'), 1, 65535) == +text('port')))
			return { error: _('The port must be a number from 1 to 65535'), field: 'port' };
		const proto = text('proto') || (text('port') ? 'tcp' : '');
		const question = { dest: text('dest') };
		if (text('src'))
			question.src = text('src');
		if (proto)
			question.proto = proto;
		if (text('port') && check.hasPorts(proto))
			question.port = +text('port');
		return { question };
	}
});
