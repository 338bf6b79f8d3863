'use strict';
'require view';
'require form';
'require uci';
'require rpc';
'require poll';
'require dom';
'require mwan3.model as model';
'require mwan3.check as check';
'require mwan3.fields as fields';
'require mwan3.pages as pages';
'require mwan3.references as references';
'require mwan3.parts as parts';

const callRules = rpc.declare({ object: 'mwan3', method: 'rules', params: [ 'offset', 'limit', 'brief' ], expect: { rules: [] } });
const BRIEF_LIMIT = 500;

const loadHits = () => L.resolveDefault(callRules(0, BRIEF_LIMIT, true), []);

return view.extend({
	load() {
		return Promise.all([ loadHits(), uci.load('mwan3'), uci.load('network') ]);
	},

	render([ hits ]) {
		this.hits = hits;
		const map = new form.Map('mwan3', _('Load Balancing: rules'),
			_('Which traffic takes which policy. The first rule from the top that matches decides; drag rules to change their order. Traffic that no rule takes, and traffic to networks that are reached directly, follows the main routing table.'));
		const section = map.section(form.GridSection, 'rule');
		section.addremove = true;
		section.sortable = true;
		section.nodescriptions = true;
		section.modaltitle = name => _('Rule %s').format(name);
		section.renderSectionAdd = () => pages.nameBox(section, 'rule', _('Add a rule'), _('name of a rule'));
		this.addColumns(section);
		fields.addAll(section, 'rule', { hasTabs: true, touch: (field, spec) => this.touch(field, spec) });
		return map.render().then(node => {
			poll.add(() => loadHits().then(fresh => { this.hits = fresh; this.drawHits(node); }), 5);
			pages.openLinked(section);
			return E('div', { 'class': 'mwan3' }, [ parts.style(), node ]);
		});
	},

	addColumns(section) {
		const column = (name, title, contentOf) => {
			const option = section.option(form.DummyValue, name, title);
			option.modalonly = false;
			option.rawhtml = true;
			option.textvalue = section_id => E('span', { 'data-live': name, 'data-rule': section_id }, [ contentOf(section_id) ]);
		};
		column('_takes', _('Takes'), name => this.matchWords(name));
		column('_policy', _('Policy'), name => this.policyWords(name));
		column('_hits', _('Packets'), name => this.hitWords(name));
	},

	matchWords(name) {
		const rule = uci.get('mwan3', name) ?? {}, cut = value => references.list(value).flatMap(text => text.split(/\s*,\s*/)).filter(text => text);
		return model.ruleWords({ ...rule, families: [ 'ipv4', 'ipv6' ].filter(family => family == rule.family),
			src_ip: cut(rule.src_ip), dest_ip: cut(rule.dest_ip), src_port: cut(rule.src_port), dest_port: cut(rule.dest_port) });
	},

	policyWords(name) {
		const policy = uci.get('mwan3', name, 'use_policy');
		const isKnown = policy && (uci.get('mwan3', policy) == 'policy' || uci.sections('mwan3', 'policy').some(found => found['.name'] == policy)
			|| fields.optionOf('rule', 'use_policy').choices.includes(policy));
		if (!policy)
			return parts.badge('bad', _('none: the rule is skipped'));
		return isKnown ? model.targetWord(policy) + (check.isYes(uci.get('mwan3', name, 'sticky')) ? ` ${_('(sticky)')}` : '')
			: parts.badge('bad', _('%s does not exist').format(policy));
	},

	hitWords(name) {
		const rule = this.hits.find(found => found.name == name);
		const hits = rule ? model.hits(rule) : null;
		return hits == null ? '–' : hits.packets ? model.count(hits.packets) : _('never hit');
	},

	drawHits(node) {
		node.querySelectorAll('[data-live=_hits]').forEach(cell => dom.content(cell, [ this.hitWords(cell.getAttribute('data-rule')) ]));
	},

	/* LuCI copies a field for its dialog: `this` in a handler is the copy, the one with what is typed. */
	touch(field, spec) {
		const page = this;
		if ([ 'src_port', 'dest_port' ].includes(spec.name))
			field.validate = function(section_id, value) {
				const proto = fields.edited(this.section, section_id, 'rule', 'proto');
				return check.problem(spec, value) ?? (value && !check.hasPorts(proto) ? _('Ports need the protocol TCP or UDP') : true);
			};
		if ([ 'src_ip', 'dest_ip' ].includes(spec.name))
			field.validate = function(section_id, value) {
				return check.problem(spec, value) ?? page.familyProblem(fields.edited(this.section, section_id, 'rule', 'family'), value) ?? true;
			};
	},

	familyProblem(family, value) {
		const other = `${value ?? ''}`.split(',').map(text => text.trim()).find(text => text && [ 'ipv4', 'ipv6' ].includes(family) && check.familyOfNetwork(text) != family);
		return other ? _('%s is not of the family of this rule').format(other) : null;
	}
});
