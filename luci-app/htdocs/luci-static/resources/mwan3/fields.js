'use strict';
'require baseclass';
'require form';
'require uci';
'require tools.widgets as widgets';
'require mwan3.schema as schema';
'require mwan3.check as check';
'require mwan3.references as references';

/* Form fields out of the parser's table. Two rules: saving a form changes what the user changed and nothing else,
   and what the parser takes, the form takes. So no field has a default that LuCI could compare with and delete
   (defaults are placeholders), and no field that is hidden loses its value. */

/* Which options stand where, under which name. Options of the table that nobody placed come under "Expert". */
const LAYOUT = {
	globals: [
		{ name: 'general', title: _('General'), options: [
			[ 'logging', _('Let rules log') ], [ 'loglevel', _('Log level'), { logging: '1' } ], [ 'metrics_listen', _('Serve metrics on') ] ] },
		{ name: 'routing', title: _('Marks and routing'), options: [
			[ 'mmx_mask', _('Firewall mask') ], [ 'rt_table_lookup', _('More routing tables') ], [ 'source_routing', _('Keep sources of routes') ],
			[ 'manage_default', _('Keep the main default route alive') ] ] }
	],
	interface: [
		{ name: 'general', title: _('General'), options: [
			[ 'enabled', _('Enabled') ], [ 'family', _('Internet protocol') ], [ 'initial_state', _('State at first') ] ] },
		{ name: 'tracking', title: _('Tracking'), options: [
			[ 'track_ip', _('Targets') ], [ 'track_method', _('How to probe') ], [ 'reliability', _('Targets that must answer') ],
			[ 'count', _('Packets per probe') ], [ 'size', _('Size of a ping') ], [ 'max_ttl', _('Time to live') ],
			[ 'track_port', _('Port') ], [ 'nslookup_name', _('Name to look up') ], [ 'httping_ssl', _('By HTTPS'), { track_method: 'httping' } ] ] },
		{ name: 'timing', title: _('Timing'), options: [
			[ 'interval', _('Time between rounds') ], [ 'timeout', _('Time to answer') ], [ 'down', _('Failed rounds until offline') ],
			[ 'confirm_interval', _('Time between confirming rounds') ], [ 'confirm_count', _('Packets of a confirming round') ],
			[ 'up', _('Good rounds until online') ], [ 'recovery_interval', _('Time between rounds while recovering') ],
			[ 'failure_interval', _('Time between rounds while failing') ], [ 'keep_failure_interval', _('Keep to it while offline') ],
			[ 'failback_delay', _('Stable for this long before use') ], [ 'failback_delay_max', _('At most') ], [ 'failback_window', _('Only at this time of day') ] ] },
		{ name: 'quality', title: _('Quality'), options: [
			[ 'check_quality', _('Judge quality') ], [ 'failure_latency', _('Fails at this latency'), { check_quality: '1' } ],
			[ 'failure_loss', _('Fails at this loss'), { check_quality: '1' } ], [ 'recovery_latency', _('Good at this latency'), { check_quality: '1' } ],
			[ 'recovery_loss', _('Good at this loss'), { check_quality: '1' } ] ] },
		{ name: 'events', title: _('Events'), options: [
			[ 'flush_conntrack', _('Forget connections on') ], [ 'flush_scope', _('Which connections') ] ] }
	],
	member: [
		{ name: 'general', title: _('General'), options: [ [ 'interface', _('Uplink') ], [ 'metric', _('Tier') ], [ 'weight', _('Weight') ] ] }
	],
	policy: [
		{ name: 'general', title: _('General'), options: [ [ 'last_resort', _('If nobody is left') ],
			[ 'on_fail', _('Connections of a failed uplink') ], [ 'on_recover', _('Connections when a better one is back') ], [ 'hold', _('Wait before the next tier') ] ] }
	],
	alert: [
		{ name: 'general', title: _('General'), options: [ [ 'enabled', _('Enabled') ], [ 'method', _('How to tell') ], [ 'to', _('Whom to tell') ],
			[ 'from', _('Sender'), { method: 'mail' } ], [ 'smtp', _('Mail server'), { method: 'mail' } ], [ 'interface', _('Only these uplinks') ],
			[ 'event', _('Only these events') ], [ 'interval', _('At most one in') ] ] }
	],
	rule: [
		{ name: 'general', title: _('General'), options: [
			[ 'family', _('Internet protocol') ], [ 'proto', _('Protocol') ], [ 'src_ip', _('From addresses') ], [ 'src_port', _('From ports') ],
			[ 'src_iface', _('Coming in by') ], [ 'dest_ip', _('To addresses') ], [ 'dest_port', _('To ports') ], [ 'ipset', _('To a set') ],
			[ 'use_policy', _('Policy') ] ] },
		{ name: 'more', title: _('More'), options: [
			[ 'sticky', _('Sticky') ], [ 'timeout', _('Remembered for'), { sticky: '1' } ], [ 'logging', _('Log') ] ] }
	]
};

const WORDS = {
	ipv4: 'IPv4', ipv6: 'IPv6', any: _('any'), online: _('online'), offline: _('offline'),
	unreachable: _('refuse (unreachable)'), blackhole: _('drop (blackhole)'), default: _('main routing table (default)'),
	ifup: _('interface up'), ifdown: _('interface down'), connected: _('online again'), disconnected: _('offline (disconnected)'),
	interface: _('of this uplink'), all: _('all'),
	mail: _('by mail'), webhook: _('to a web address'), scripts: _('by programs of a folder'), status_file: _('in a file')
};

const optionOf = (kind, name) => schema.options.find(option => option.section == kind && option.name == name);

/* The text that stands for a missing option, following "same as". */
function defaultOf(spec, textOf) {
	if (spec?.default?.value != null)
		return spec.default.value;
	const other = spec?.default?.same_as;
	return other == null ? '' : (textOf?.(other) || defaultOf(optionOf(spec.section, other), textOf));
}

function placeholderOf(spec) {
	if (spec.default?.same_as != null)
		return _('as %s').format(spec.default.same_as);
	return defaultOf(spec);
}

function describe(spec) {
	const range = spec.type == 'number' && spec.max < 4294967295 ? _('%d to %d %s').format(spec.min, spec.max, spec.unit).trim()
		: spec.type == 'duration' ? _('seconds') : '';
	const text = spec.help.replace(/`/g, '');
	return range ? `${text} (${range})` : text;
}

/* "yes" and "on" are 1 to the parser; LuCI's own flag would save them as 0. Unchanged, it writes nothing. */
const YesNo = form.Flag.extend({
	__name__: 'CBI.Mwan3YesNo',

	load(section_id) {
		const text = uci.get('mwan3', section_id, this.option);
		return text == null ? null : check.isYes(text) ? '1' : '0';
	},

	parse(section_id) {
		const is = this.cfgvalue(section_id) ?? this.default, wanted = this.formvalue(section_id);
		return Promise.resolve(!this.isActive(section_id) || wanted == null || wanted == is ? null : this.write(section_id, wanted));
	}
});

/* Values separated by commas in one field; a list in the file stays a list until it is edited. */
const Commas = form.Value.extend({
	__name__: 'CBI.Mwan3Commas',

	load(section_id) {
		const value = uci.get('mwan3', section_id, this.option);
		return Array.isArray(value) ? value.join(', ') : value;
	}
});

/* One value that the file has as an option is a list of one, not a change. */
const List = form.DynamicList.extend({
	__name__: 'CBI.Mwan3List',

	load(section_id) {
		const value = uci.get('mwan3', section_id, this.option);
		return value == null ? null : references.list(value);
	}
});

/* A choice that shows what is in the file, also if it is none of the choices. */
const Choice = form.ListValue.extend({
	__name__: 'CBI.Mwan3Choice',

	load(section_id) {
		const value = uci.get('mwan3', section_id, this.option);
		if (value && !(this.keylist ?? []).includes(value))
			this.value(value, _('%s (as in the file)').format(value));
		return value;
	}
});

function classFor(spec) {
	if (spec.type == 'bool')
		return YesNo;
	if ([ 'addresses', 'ports' ].includes(spec.type))
		return Commas;
	if (spec.list)
		return List;
	if ([ 'choice', 'policy_or', 'reference' ].includes(spec.type))
		return Choice;
	return spec.type == 'network' ? widgets.NetworkSelect : form.Value;
}

const namesOf = kind => uci.sections('mwan3', kind).map(section => section['.name']);

function fill(field, spec) {
	if (spec.type == 'choice') {
		if (!spec.list)
			field.value('', spec.default == 'required' ? _('choose…') : _('default: %s').format(WORDS[defaultOf(spec)] ?? defaultOf(spec)));
		spec.choices.forEach(choice => field.value(choice, WORDS[choice] ?? choice));
	} else if (spec.type == 'policy_or') {
		field.value('', _('choose…'));
		namesOf('policy').forEach(name => field.value(name, name));
		spec.choices.forEach(choice => field.value(choice, WORDS[choice] ?? choice));
	} else if (spec.type == 'reference') {
		if (!spec.list)
			field.value('', _('choose…'));
		namesOf(spec.to).forEach(name => field.value(name, name));
	} else if (spec.type == 'session_fate') {
		[ 'keep', 'drop', 'drop_udp', 'drain 60' ].forEach(word => field.value(word, word));
	} else if (spec.type == 'protocol') {
		[ 'all', 'tcp', 'udp', 'icmp', 'esp', 'gre' ].forEach(name => field.value(name, name));
	}
}

function makeField(section, tab, spec, label, when) {
	const field = tab ? section.taboption(tab, classFor(spec), spec.name, label, describe(spec))
		: section.option(classFor(spec), spec.name, label, describe(spec));
	field.modalonly = true;
	field.retain = true;
	field.rmempty = spec.default != 'required';
	if (spec.type == 'bool') {
		field.default = defaultOf(spec) == '1' ? '1' : '0';
		field.rmempty = false;
	} else {
		field.placeholder = placeholderOf(spec);
		field.validate = (section_id, value) => check.problem(spec, value) ?? true;
	}
	if (spec.type == 'network') {
		field.nocreate = false;
		field.multiple = false;
	}
	fill(field, spec);
	if (when)
		field.depends(when);
	return field;
}

return baseclass.extend({
	YesNo, Choice, LAYOUT,

	optionOf,

	/* A value for people, lists with commas. */
	wordOf: value => (Array.isArray(value) ? value : value == null ? [] : [ value ]).map(text => WORDS[text] ?? text).join(', '),

	/* What the parser uses for an option of this section. */
	effective(section_id, kind, name) {
		const textOf = other => {
			const text = uci.get('mwan3', section_id, other);
			return text == null || text === '' ? null : `${text}`;
		};
		return textOf(name) ?? defaultOf(optionOf(kind, name), textOf);
	},

	/* The same of a form that is being edited. */
	edited(section, section_id, kind, name) {
		const textOf = other => {
			const field = section.children.find(child => child.option == other);
			/* null: not drawn yet */
			const value = field?.formvalue(section_id) ?? uci.get('mwan3', section_id, other);
			return value == null || value.length == 0 ? null : value;
		};
		return textOf(name) ?? defaultOf(optionOf(kind, name), textOf);
	},

	/* Adds every option of the table to the section, by tabs if `hasTabs`. `skip`: options the page shows its own way.
	   `touch(field, spec)` for what a page adds. */
	has: kind => schema.options.some(option => option.section == kind),

	addAll(section, kind, { hasTabs, skip, touch } = {}) {
		const left = new Map(schema.options.filter(spec => spec.section == kind && !(skip ?? []).includes(spec.name)).map(spec => [ spec.name, spec ]));
		const add = (tab, name, label, when) => {
			const spec = left.get(name);
			if (!spec)
				return;
			left.delete(name);
			const field = makeField(section, hasTabs ? tab : null, spec, label, when);
			if (touch)
				touch(field, spec);
		};
		for (const tab of LAYOUT[kind] ?? []) {
			if (hasTabs)
				section.tab(tab.name, tab.title);
			tab.options.forEach(([ name, label, when ]) => add(tab.name, name, label, when));
		}
		if (hasTabs && left.size)
			section.tab('expert', _('Expert'));
		[ ...left.keys() ].forEach(name => add('expert', name, name));
	}
});
