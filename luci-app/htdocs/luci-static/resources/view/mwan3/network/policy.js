'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require dom';
'require mwan3.model as model';
'require mwan3.check as check';
'require mwan3.fields as fields';
'require mwan3.pages as pages';
'require mwan3.preview as preview';
'require mwan3.references as references';
'require mwan3.parts as parts';

/* The members of a policy as rows: uplink, tier, weight. What is saved are member sections. */
const Rows = form.DummyValue.extend({
	__name__: 'CBI.Mwan3Rows',

	load(section_id) {
		this.rows = this.rows ?? {};
		this.rows[section_id] = references.rows(pages.allSections(), uci.get('mwan3', section_id));
		return JSON.stringify(this.rows[section_id]);
	},

	renderWidget(section_id) {
		const frame = E('div', { 'data-rows': section_id });
		this.draw(frame, section_id);
		return frame;
	},

	draw(frame, section_id) {
		const rows = this.rows[section_id], isLocked = this.map.readonly ? '' : null;
		const titles = [ { text: _('Uplink') }, { text: _('Tier') }, { text: _('Weight') }, { text: _('Share') }, { text: '' } ];
		const shares = preview.shares(rows, name => this.familyOf(name));
		const table = parts.table(titles, rows.map((row, at) => ({ id: row.member, cells: [
			row.missing ? E('em', {}, [ _('member %s does not exist').format(row.member) ]) : this.uplinkSelect(frame, section_id, row, isLocked),
			row.missing ? '' : this.numberInput(frame, section_id, row, 'metric', isLocked),
			row.missing ? '' : this.numberInput(frame, section_id, row, 'weight', isLocked),
			E('span', { 'data-share': '' }, [ shares[at] ?? '' ]),
			E('button', { 'class': 'cbi-button cbi-button-remove', 'disabled': isLocked, 'title': _('Remove this row'), 'click': ev => {
				ev.preventDefault();
				rows.splice(at, 1);
				this.draw(frame, section_id);
			} }, [ '✕' ])
		] })), _('No members: nobody to send traffic to'));
		const add = E('button', { 'class': 'cbi-button cbi-button-add', 'disabled': isLocked, 'click': ev => {
			ev.preventDefault();
			rows.push(this.newRow(rows));
			this.draw(frame, section_id);
		} }, [ _('Add an uplink') ]);
		const words = E('div', { 'class': 'mwan3-preview', 'data-preview': section_id }, []);
		dom.content(frame, [ table, add, words ]);
		this.drawWords(frame, section_id);
	},

	drawWords(frame, section_id) {
		const rows = this.rows[section_id], shares = preview.shares(rows, name => this.familyOf(name));
		frame.querySelectorAll('[data-share]').forEach((cell, at) => dom.content(cell, [ shares[at] ?? '' ]));
		const resort = this.section.children.find(child => child.option == 'last_resort');
		const lastResort = resort?.formvalue(section_id) || fields.effective(section_id, 'policy', 'last_resort');
		dom.content(frame.querySelector('[data-preview]'), preview.words(rows, name => this.familyOf(name), model.lastResort(lastResort))
			.map(line => E('div', {}, [ line ])));
	},

	uplinkSelect(frame, section_id, row, isLocked) {
		const names = uci.sections('mwan3', 'interface').map(section => section['.name']);
		if (row.interface && !names.includes(row.interface))
			names.push(row.interface);
		return E('select', { 'class': 'cbi-input-select', 'disabled': isLocked, 'aria-label': _('Uplink'), 'change': ev => {
			row.interface = ev.target.value;
			this.drawWords(frame, section_id);
		} }, names.map(name => E('option', { 'value': name, 'selected': name == row.interface ? '' : null }, [
			fields.effective(name, 'interface', 'family') == 'ipv6' ? _('%s (IPv6)').format(name) : name ])));
	},

	numberInput(frame, section_id, row, key, isLocked) {
		const spec = fields.optionOf('member', key);
		const input = E('input', { 'class': 'cbi-input-text', 'type': 'text', 'inputmode': 'numeric', 'style': 'width:5em;min-width:0', 'value': row[key], 'disabled': isLocked,
			'aria-label': key == 'metric' ? _('Tier') : _('Weight') });
		input.addEventListener('input', () => {
			row[key] = input.value.trim();
			const problem = row[key] == '' ? _('A number is needed') : check.problem(spec, row[key]);
			input.classList.toggle('cbi-input-invalid', problem != null);
			input.title = problem ?? '';
			this.drawWords(frame, section_id);
		});
		return input;
	},

	newRow(rows) {
		const used = rows.map(row => row.interface);
		const names = uci.sections('mwan3', 'interface').map(section => section['.name']);
		const interface_ = names.find(name => !used.includes(name)) ?? names[0] ?? '';
		return { member: null, missing: false, interface: interface_, metric: rows.length ? rows[rows.length - 1].metric : '1', weight: '1' };
	},

	familyOf(name) {
		return fields.effective(name, 'interface', 'family');
	},

	problemOf(section_id) {
		for (const row of this.rows[section_id] ?? [])
			for (const key of [ 'metric', 'weight' ])
				if (!row.missing && (row[key] == '' || check.problem(fields.optionOf('member', key), row[key]) != null))
					return _('Policy %s, uplink %s: tier and weight must be numbers').format(section_id, row.interface);
		return null;
	},

	parse(section_id) {
		const rows = this.rows[section_id], problem = this.problemOf(section_id);
		if (problem)
			return Promise.reject(new TypeError(problem));
		if (JSON.stringify(rows) == this.cfgvalue(section_id))
			return Promise.resolve();
		const todo = references.membersFor(pages.allSections(), section_id, rows);
		for (const member of todo.create) {
			uci.add('mwan3', 'member', member.name);
			this.copyRest(member.from, member.name);
			this.setMember(member);
		}
		todo.change.forEach(member => this.setMember(member));
		todo.create.filter(member => member.from).forEach(member => uci.remove('mwan3', member.from));
		if (todo.use.length)
			uci.set('mwan3', section_id, 'use_member', todo.use);
		else
			uci.unset('mwan3', section_id, 'use_member');
		return Promise.resolve();
	},

	/* Options a member has besides ours stay with it. */
	copyRest(from, to) {
		const old = from ? uci.get('mwan3', from) : null;
		for (const option in old ?? {})
			if (option[0] != '.')
				uci.set('mwan3', to, option, old[option]);
	},

	setMember(member) {
		for (const option of [ 'interface', 'metric', 'weight' ])
			uci.set('mwan3', member.name, option, member[option]);
	},

	write() {},
	remove() {}
});

return view.extend({
	load() {
		return uci.load('mwan3');
	},

	render() {
		const map = new form.Map('mwan3', _('Load Balancing: policies'),
			_('Which uplinks share traffic. Of the uplinks that are online, those of the lowest tier get all new connections, by weight; the next tier takes over when they fail.'));
		const section = map.section(form.TypedSection, 'policy');
		section.addremove = true;
		section.anonymous = true;
		section.renderSectionAdd = () => pages.nameBox(section, 'policy', _('Add a policy'), _('name of a policy'));
		const superRemove = section.handleRemove;
		section.handleRemove = (name, ev) => pages.confirmRemoval('policy', name, () => superRemove.call(section, name, ev));
		const superRender = section.renderUCISection;
		section.renderUCISection = name => Promise.resolve(superRender.call(section, name)).then(node => {
			const users = references.users(pages.allSections(), 'policy', name).map(user => user.name);
			node.insertBefore(E('h3', { 'class': 'mwan3-policy', 'data-policy': name }, [ name, E('small', {}, [
				users.length ? _('used by %s').format(users.join(', ')) : _('used by no rule') ]) ]), node.firstChild);
			return node;
		});
		const rows = section.option(Rows, '_rows', _('Uplinks'));
		fields.addAll(section, 'policy', { skip: [ 'use_member' ], touch: (field, spec) => {
			if (spec.name == 'last_resort')
				field.onchange = (ev, section_id) => {
					const frame = document.querySelector(`[data-rows="${section_id}"]`);
					if (frame)
						rows.drawWords(frame, section_id);
				};
		} });
		return map.render().then(node => E('div', { 'class': 'mwan3' }, [ parts.style(), node ]));
	}
});
