'use strict';
'require baseclass';

/* What the parser takes as the value of an option, and what it makes of timings. Pure; a test compares both
   with the program: tests/form.test.mjs. */

const PROTOCOLS = [ 'all', 'any', 'icmp', 'igmp', 'ipip', 'ipencap', 'tcp', 'egp', 'udp', 'dccp', 'ipv6', 'rsvp',
	'gre', 'esp', 'ipv6-crypt', 'ah', 'ipv6-auth', 'icmpv6', 'ipv6-icmp', 'eigrp', 'ospf', 'pim', 'ipcomp',
	'vrrp', 'l2tp', 'sctp', 'mh', 'udplite' ];
const WITH_PORTS = [ 'tcp', 'udp', 'dccp', 'sctp', 'udplite', '6', '17', '33', '132', '136' ];
const ALIASES = { loglevel: [ 'panic', 'err', 'warn', '0', '1', '2', '3', '4', '5', '6', '7' ] };
const YES = [ '1', 'on', 'true', 'yes', 'enabled' ];
const NO = [ '0', 'off', 'false', 'no', 'disabled' ];

const SHORTEST_PAUSE_MS = 50;
const SHORTEST_TIMEOUT_MS = 10;

function isOctet(text) {
	return /^(0|[1-9][0-9]{0,2})$/.test(text) && +text <= 255;
}

function isIpv4(text) {
	const octets = text.split('.');
	return octets.length == 4 && octets.every(isOctet);
}

function isIpv6(text) {
	const halves = text.split('::');
	if (halves.length > 2 || text.length > 45)
		return false;
	const groupsOf = (half, isLast) => {
		if (half == '')
			return 0;
		const groups = half.split(':'), tail = groups[groups.length - 1];
		const hasIpv4 = isLast && tail.includes('.');
		if (hasIpv4) {
			if (!isIpv4(tail))
				return null;
			groups.pop();
		}
		return groups.every(group => /^[0-9a-fA-F]{1,4}$/.test(group)) ? groups.length + (hasIpv4 ? 2 : 0) : null;
	};
	const counts = halves.map((half, at) => groupsOf(half, at == halves.length - 1));
	if (counts.includes(null))
		return false;
	const total = counts.reduce((sum, count) => sum + count, 0);
	return halves.length == 2 ? total <= 7 : total == 8;
}

function familyOf(text) {
	return isIpv4(text) ? 'ipv4' : isIpv6(text) ? 'ipv6' : null;
}

/* Family of an address, address/length or address/mask; null if it is none of them. */
function familyOfNetwork(text) {
	const at = text.indexOf('/');
	if (at < 0)
		return familyOf(text);
	const family = familyOf(text.slice(0, at)), mask = text.slice(at + 1);
	if (family && /^\+?[0-9]{1,10}$/.test(mask))
		return +mask <= (family == 'ipv4' ? 32 : 128) ? family : null;
	return family && familyOf(mask) == family ? family : null;
}

function parseInteger(text) {
	if (/^0[xX][0-9a-fA-F]+$/.test(text))
		return parseInt(text.slice(2), 16);
	return /^[0-9]+$/.test(text) ? +text : NaN;
}

/* Milliseconds of "10", "0.5", "200ms", "10s"; null if it is no duration. */
function milliseconds(text) {
	const match = /^([0-9]{0,12})(?:\.([0-9]*))?\s*(ms|s)?$/.exec(`${text ?? ''}`.trim());
	if (!match || (match[1] + (match[2] ?? '')) == '')
		return null;
	const each = match[3] == 'ms' ? 1 : 1000;
	return Math.trunc(+`${match[1] || 0}.${match[2] || 0}` * each + 1e-6);
}

function seconds(ms) {
	return `${+(ms / 1000).toFixed(3)}`;
}

function bits(number) {
	let count = 0;
	for (let rest = number; rest > 0; rest = Math.floor(rest / 2))
		count += rest % 2;
	return count;
}

const inRange = (number, low, high) => number >= low && number <= high;

/* By type: null if the text is fine, else what is wrong with it. */
const PROBLEMS = {
	bool: text => YES.concat(NO).includes(text) ? null : _('Neither yes nor no'),
	number(text, spec) {
		if (!/^[0-9]+$/.test(text))
			return _('Not a whole number');
		return inRange(+text, spec.min, spec.max) ? null
			: _('Not between %d and %d').format(spec.min, spec.max);
	},
	duration(text, spec) {
		const ms = milliseconds(text);
		if (ms == null)
			return _('Not a duration: seconds such as 10 or 0.5, or 200ms');
		return inRange(ms, spec.min_ms, spec.max_ms) ? null
			: _('Not between %s s and %s s').format(seconds(spec.min_ms), seconds(spec.max_ms));
	},
	choice: (text, spec) => spec.choices.concat(ALIASES[spec.name] ?? []).includes(text) ? null
		: _('Not one of: %s').format(spec.choices.join(', ')),
	mask(text) {
		const number = parseInteger(text);
		if (!(number <= 0xffffffff))
			return _('Not a hexadecimal or decimal number of 32 bits');
		return bits(number) >= 3 ? null : _('A mask needs three bits or more');
	},
	routing_table(text) {
		const number = parseInteger(text);
		return [ 'default', 'main', 'local' ].includes(text) || inRange(number, 1, 0xffffffff) ? null
			: _('Not the number of a routing table');
	},
	host: text => /^[A-Za-z0-9._:%][A-Za-z0-9._:%-]{0,254}$/.test(text) ? null
		: _('Neither an address nor a host name'),
	ip_address: text => familyOf(text) ? null : _('Not an IP address'),
	addresses: text => pieces(text, familyOfNetwork, _('Not an address or network: %s')),
	ports: text => pieces(text, isPortRange, _('Not a port or range of ports: %s')),
	protocol: text => PROTOCOLS.includes(text.toLowerCase()) || (/^[0-9]+$/.test(text) && +text <= 255) ? null
		: _('Not the name or number of one protocol'),
	device: text => /^[!-~]{1,15}$/.test(text) && !/[/:]/.test(text) && text != '.' && text != '..' ? null
		: _('Not the name of a network device'),
	address_and_port(text) {
		const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
		const isFine = match && (match[1] != null ? isIpv6(match[1].split('%')[0]) : isIpv4(match[2])) && inRange(+match[3], 1, 65535);
		return isFine ? null : _('Not an address and a port, as in 127.0.0.1:9101 or [::1]:9101');
	},
	session_fate(text) {
		const drain = /^drain[ \t]+(.*)$/.exec(text);
		if (drain)
			return inRange(milliseconds(drain[1]), 1, 86400000) ? null : _('drain needs a time up to a day, such as: drain 60');
		return [ 'keep', 'drop', 'drop_udp' ].includes(text) ? null : _('Not one of keep, drop, drop_udp, or drain and a time');
	},
	daily_window(text) {
		const ends = text.split('-');
		const minutes = ends.map(end => {
			const match = /^\s*([0-9]+):([0-9]+)\s*$/.exec(end);
			return match && +match[2] <= 59 && +match[1] * 60 + +match[2] <= 1440 ? +match[1] * 60 + +match[2] : null;
		});
		return ends.length == 2 && !minutes.includes(null) && minutes[0] != minutes[1] ? null : _('Not a time of day like 02:00-04:30');
	},
	ipset: text => /^(!\s*)?[!-~]+$/.test(text) && !/^!\s*$/.test(text) ? null : _('Not the name of a set')
};

function pieces(text, isGood, message) {
	const parts = text.split(',').map(part => part.trim()).filter(part => part != '');
	const bad = parts.find(part => !isGood(part));
	return parts.length && bad == null ? null : message.format(bad ?? text);
}

function isPortRange(text) {
	const ends = text.split(/[-:](.*)/s).slice(0, 2);
	const isPort = end => /^[0-9]+$/.test(end) && +end <= 65535;
	return ends.every(isPort) && +ends[0] <= +ends[ends.length - 1];
}

return baseclass.extend({
	isIpv4, isIpv6, familyOf, familyOfNetwork, milliseconds, seconds,

	/* null if the parser takes this as the option's value, else what is wrong. Nothing is always fine. */
	problem(spec, text) {
		const word = `${text ?? ''}`.trim();
		return word == '' ? null : (PROBLEMS[spec.type]?.(word, spec) ?? null);
	},

	isYes: text => YES.includes(`${text ?? ''}`),

	hasPorts: proto => WITH_PORTS.includes(`${proto ?? ''}`.toLowerCase()),

	protocols: () => PROTOCOLS.slice(),

	/* How long a silent fault goes unnoticed and a mended link unused, in ms: the arithmetic of `mwan3 check -v`.
	   `get(option)` gives texts, defaults included. null without targets. */
	promise(get, targets) {
		if (!targets)
			return null;
		const ms = option => milliseconds(get(option)) ?? 0;
		const pause = option => Math.max(ms(option), SHORTEST_PAUSE_MS);
		const timeout = Math.max(ms('timeout'), SHORTEST_TIMEOUT_MS);
		const down = Math.max(1, +get('down') || 1), up = Math.max(1, +get('up') || 1);
		const best = down * timeout + (down - 1) * pause('confirm_interval');
		const back = (up - 1) * pause('recovery_interval');
		const offline = pause(this.isYes(get('keep_failure_interval')) ? 'failure_interval' : 'interval');
		return { left: [ best, best + pause('interval') ], used: [ back, back + timeout + offline ] };
	}
});
