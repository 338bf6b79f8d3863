'use strict';
'require baseclass';
'require mwan3.model as model';

/* The reply of ubus `mwan3 explain` as a title, facts and reasons. Pure. */

function wayWords(way) {
	const parts = [];
	if (way.device)
		parts.push(way.gateway ? _('by %s to %s').format(way.device, way.gateway) : _('by %s').format(way.device));
	if (way.source)
		parts.push(_('from %s').format(way.source));
	if (way.table != null)
		parts.push(_('table %s').format({ 254: 'main', 255: 'local', 253: 'default' }[way.table] ?? way.table));
	if (way.mark && way.mark != '0x0')
		parts.push(_('mark %s').format(way.mark));
	return parts.join(', ');
}

function title(reply) {
	const ways = reply.ways ?? [];
	switch (reply.verdict) {
	case 'uplink':
		return ways.length == 1 ? _('It takes the uplink %s.').format(ways[0].interface)
			: _('A new connection takes %s.').format(ways.map(way => `${way.interface} (${way.percent} %)`).join(_(' or ')));
	case 'main':
		return _('It follows the main routing table.');
	case 'router':
		return _('It is for the router itself.');
	case 'blackhole':
		return _('It is dropped without an answer.');
	default:
		return _('It is refused.');
	}
}

function passedWords(passed) {
	return passed.found ? _('Rule %s does not match: it wants %s, this is %s').format(passed.rule, passed.test, passed.found)
		: _('Rule %s does not match: it wants %s').format(passed.rule, passed.test);
}

return baseclass.extend({
	answer(reply) {
		if (reply == null || reply.error != null)
			return { kind: 'warn', title: reply?.error ?? _('No answer') };
		const facts = [];
		if (reply.rule)
			facts.push([ _('Rule'), _('%s (%d of %d)').format(reply.rule, reply.rule_number, reply.rules) ]);
		if (reply.policy)
			facts.push([ _('Policy'), reply.sticky ? _('%s, sticky').format(reply.policy) : reply.policy ]);
		for (const way of reply.ways ?? [])
			facts.push([ way.interface || _('Way'), wayWords(way) || '–' ]);
		for (const member of (reply.members ?? []).filter(member => member.state != 'active'))
			facts.push([ member.interface, _('%s, tier %d').format(model.roleWord(member.state), member.metric) ]);
		const more = key => reply[`${key}_more`] > 0 ? [ _('… and %d more').format(reply[`${key}_more`]) ] : [];
		const why = [ ...(reply.why ?? []),
			...(reply.maybe ?? []).map(maybe => _('Rule %s would take it if it is %s').format(maybe.rule, maybe.test)), ...more('maybe') ];
		const passed = [ ...(reply.not_matched ?? []).map(passedWords), ...more('not_matched') ];
		const isBad = [ 'unreachable', 'blackhole' ].includes(reply.verdict);
		return { kind: isBad ? 'bad' : reply.certain === false ? 'warn' : 'good',
			title: reply.certain === false ? `${title(reply)} ${_('Not certain: say more about the packet.')}` : title(reply), facts, why, passed };
	}
});
