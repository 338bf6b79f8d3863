'use strict';
'require baseclass';

/* Which section names which, and what must follow when one is renamed or removed. Pure: works on plain lists
   of sections as uci.sections() gives them. */

const list = value => value == null ? [] : Array.isArray(value) ? value : `${value}`.split(/\s+/).filter(word => word != '');

/* kind of the named section -> kind and option that name it */
const NAMED_BY = {
	interface: [ [ 'member', 'interface' ], [ 'alert', 'interface' ] ],
	member: [ [ 'policy', 'use_member' ] ],
	policy: [ [ 'rule', 'use_policy' ] ],
	rule: [],
	alert: []
};

return baseclass.extend({
	list,

	/* Sections that name this one: [ { kind, name, option } ]. */
	users(sections, kind, name) {
		return (NAMED_BY[kind] ?? []).flatMap(([ user, option ]) => sections
			.filter(section => section['.type'] == user && list(section[option]).includes(name))
			.map(section => ({ kind: user, name: section['.name'], option })));
	},

	/* Changes that make everybody who names `name` say `to`, or leave it out (to = null):
	   [ { section, option, value } ]; value null = the option goes. A rule without policy means nothing,
	   so it is only ever renamed. */
	retarget(sections, kind, name, to) {
		return this.users(sections, kind, name).map(user => {
			const old = sections.find(section => section['.name'] == user.name)[user.option];
			const isList = Array.isArray(old) || user.option == 'use_member' || user.kind == 'alert';
			if (!isList)
				return { section: user.name, option: user.option, value: to };
			const value = list(old).map(word => word == name ? to : word).filter(word => word != null);
			return { section: user.name, option: user.option, value: value.length ? value : null };
		});
	},

	/* Why this name cannot be given to a new section, or null. */
	nameProblem(sections, name, kind) {
		if (!/^[A-Za-z0-9_]+$/.test(name))
			return _('Letters, digits and underscores only');
		if (kind == 'policy' && [ 'default', 'unreachable', 'blackhole' ].includes(name))
			return _('This word has a meaning of its own in rules');
		const other = sections.find(section => section['.name'] == name);
		return other ? _('There is a section "%s" of type %s already').format(name, other['.type']) : null;
	},

	/* The tiers of a policy: rows { member, interface, metric, weight } in the order of use_member. */
	rows(sections, policy) {
		const byName = new Map(sections.map(section => [ section['.name'], section ]));
		return list(policy?.use_member).map(name => {
			const member = byName.get(name);
			const isMember = member?.['.type'] == 'member';
			return {
				member: name,
				missing: !isMember,
				interface: isMember ? member.interface : null,
				metric: isMember ? `${member.metric ?? '1'}` : '1',
				weight: isMember ? `${member.weight ?? '1'}` : '1'
			};
		});
	},

	/* What saving edited rows takes: members that say the same are used again, whatever their name; one that only
	   this policy uses is changed in place, or gets a new name where its name repeats what it says. What no row
	   uses any more stays.
	   { use: [names], create: [{ name, interface, metric, weight, from }], change: [{ name, ... }] }; `from`: the
	   member it takes the place of */
	membersFor(sections, policyName, rows) {
		const members = sections.filter(section => section['.type'] == 'member');
		const taken = new Set(sections.map(section => section['.name']));
		const usersOf = name => this.users(sections, 'member', name).map(user => user.name);
		const isOurs = name => usersOf(name).every(user => user == policyName);
		const says = (member, row) => member.interface == row.interface
			&& `${member.metric ?? '1'}` == `${row.metric}` && `${member.weight ?? '1'}` == `${row.weight}`;
		const result = { use: [], create: [], change: [] };
		for (const row of rows) {
			const own = members.find(member => member['.name'] == row.member);
			if (row.missing || (own && says(own, row))) {
				result.use.push(row.member);
				continue;
			}
			const same = members.find(member => says(member, row) && !result.use.includes(member['.name']))
				?? result.create.find(made => says(made, row));
			if (same) {
				result.use.push(same['.name'] ?? same.name);
				continue;
			}
			const values = { interface: row.interface, metric: `${row.metric}`, weight: `${row.weight}` };
			if (own && isOurs(row.member) && !isMadeName(row.member, own)) {
				result.change.push({ name: row.member, ...values });
				result.use.push(row.member);
				continue;
			}
			const name = freeName(`${row.interface}_m${row.metric}_w${row.weight}`, taken);
			taken.add(name);
			result.create.push({ name, ...values, from: own && isOurs(row.member) ? row.member : null });
			result.use.push(name);
		}
		return result;
	}
});

/* A name that only repeats what the member says, as ours do: it would lie after a change. */
function isMadeName(name, member) {
	const pattern = `${member.interface}_m${member.metric ?? '1'}_w${member.weight ?? '1'}`;
	return name == pattern || name.startsWith(`${pattern}_`);
}

function freeName(wanted, taken) {
	const base = wanted.replace(/[^A-Za-z0-9_]/g, '_');
	for (let number = 1; ; number++) {
		const name = number == 1 ? base : `${base}_${number}`;
		if (!taken.has(name))
			return name;
	}
}
