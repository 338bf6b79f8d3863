'use strict';
'require baseclass';

/* What a policy would do, told from its rows { interface, metric, weight } before anything is saved. Pure. */

const LIMIT = 1000000;

const isCount = text => /^[0-9]+$/.test(`${text}`);

/* By family: tiers in their order, each a list of { at, interface, permille }. */
function tiers(rows, familyOf) {
	const families = {};
	rows.forEach((row, at) => {
		if (row.missing || !row.interface || !isCount(row.metric) || !isCount(row.weight) || +row.weight < 1 || +row.weight > LIMIT)
			return;
		const family = families[familyOf(row.interface)] ??= {};
		(family[+row.metric] ??= []).push({ at, interface: row.interface, weight: +row.weight });
	});
	const ordered = {};
	for (const family of Object.keys(families).sort())
		ordered[family] = Object.keys(families[family]).map(Number).sort((a, b) => a - b).map(metric => {
			const members = families[family][metric], total = members.reduce((sum, member) => sum + member.weight, 0);
			return members.map(member => ({ ...member, permille: Math.round(1000 * member.weight / total) }));
		});
	return ordered;
}

const percent = permille => permille % 10 && permille < 100 ? `${(permille / 10).toFixed(1)} %` : `${Math.round(permille / 10)} %`;

return baseclass.extend({
	tiers,

	/* A word for each row. */
	shares(rows, familyOf) {
		const words = rows.map(() => '');
		for (const family of Object.values(tiers(rows, familyOf)))
			family.forEach((members, tier) => members.forEach(member => {
				words[member.at] = tier == 0 ? percent(member.permille)
					: members.length > 1 ? _('stands by, then %s').format(percent(member.permille)) : _('stands by');
			}));
		return words;
	},

	/* A line for each family: who shares, who takes over, what happens when nobody is left. */
	words(rows, familyOf, lastResort) {
		const families = tiers(rows, familyOf);
		return [ 'ipv4', 'ipv6' ].map(family => {
			const name = family == 'ipv4' ? 'IPv4' : 'IPv6';
			const steps = (families[family] ?? []).map(members => members.map(member => members.length > 1 ? `${member.interface} ${percent(member.permille)}` : member.interface).join(' + '));
			if (!steps.length)
				return rows.length ? _('%s: no uplinks, always %s').format(name, lastResort) : _('%s: always %s').format(name, lastResort);
			return [ _('%s: %s').format(name, steps[0]), ...steps.slice(1).map(step => _('if that is down: %s').format(step)),
				_('if nobody is left: %s').format(lastResort) ].join('; ');
		});
	}
});
