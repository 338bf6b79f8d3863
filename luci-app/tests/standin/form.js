/* The least of LuCI's form engine that lets these pages be seen, filled in and saved. It does not draw what LuCI draws;
   it decides as LuCI decides what saving writes and deletes. */
(() => {
const { strict, Base, E, dom, ui, uci, network, modules } = window.__standin;
const maps = [];
const readonlyNow = () => !window.__env.mayWrite;
const isEqual = (a, b) => JSON.stringify(a ?? null) == JSON.stringify(b ?? null);
const listOf = value => value == null || value === '' ? [] : Array.isArray(value) ? value : `${value}`.trim().split(/\s+/);

class AbstractValue extends Base {
	constructor(map, section, option, title, description) {
		super();
		Object.assign(this, { map, section, option, title, description, deps: [], keylist: [], vallist: [], rmempty: true, default: null, data: {}, modalonly: null });
	}
	value(key, text) { this.keylist.push(`${key}`); this.vallist.push(text ?? key); }
	depends(when) { this.deps.push(when); }
	cbid(section_id) { return `cbid.${this.map.config}.${section_id}.${this.option}`; }
	load(section_id) { return this.map.data.get(this.map.config, section_id, this.option); }
	cfgvalue(section_id) { return this.data[section_id] ?? null; }
	input(section_id) { return this.map.node?.querySelector(`[id="widget.${this.cbid(section_id)}"]`); }
	formvalue(section_id) { return this.input(section_id)?.value ?? null; }
	validate() { return true; }
	write(section_id, value) { this.map.data.set(this.map.config, section_id, this.option, value); }
	remove(section_id) { this.map.data.unset(this.map.config, section_id, this.option); }
	isActive(section_id) {
		if (!this.field(section_id))
			return false;
		return !this.deps.length || this.deps.some(when => Object.entries(when).every(([ other, wanted ]) => {
			const sibling = this.section.children.find(child => child.option == other);
			return (sibling?.formvalue(section_id) ?? sibling?.cfgvalue(section_id)) == wanted;
		}));
	}
	field(section_id) { return this.map.node?.querySelector(`[data-field="${this.cbid(section_id)}"]`); }
	problem(section_id) {
		const value = this.formvalue(section_id);
		const found = (Array.isArray(value) ? value : [ value ]).map(one => one == null || one === '' ? true : this.validate(section_id, one)).find(one => one !== true);
		return found ?? null;
	}
	async parse(section_id) {
		if (!this.isActive(section_id)) {
			if (!this.retain)
				this.remove(section_id);
			return;
		}
		const problem = this.problem(section_id);
		if (problem != null)
			throw new TypeError(`Option "${this.title}" contains an invalid input value. ${problem}`);
		const value = this.formvalue(section_id);
		if (value == null || value === '' || (Array.isArray(value) && !value.length)) {
			if (!this.rmempty)
				throw new TypeError(`Option "${this.title}" must not be empty.`);
			this.remove(section_id);
		} else if (!isEqual(this.cfgvalue(section_id), value))
			return this.write(section_id, value);
	}
	textvalue(section_id) {
		const value = this.cfgvalue(section_id) ?? this.default;
		return value == null ? null : '%h'.format(Array.isArray(value) ? value.join(' ') : value);
	}
	changed(section_id, event) {
		const problem = this.problem(section_id);
		this.field(section_id)?.classList.toggle('cbi-value-error', problem != null);
		const error = this.field(section_id)?.querySelector('.cbi-value-problem');
		if (error)
			error.textContent = problem ?? '';
		this.onchange?.(event, section_id, this.formvalue(section_id));
		this.section.children.forEach(child => child.updateVisibility(section_id));
	}
	updateVisibility(section_id) { this.field(section_id)?.classList.toggle('hidden', !this.isActive(section_id)); }
	isLocked() { return this.map.readonly ? '' : null; }
	renderWidget(section_id, at, value) {
		return E('input', { 'id': `widget.${this.cbid(section_id)}`, 'type': 'text', 'class': 'cbi-input-text', 'value': value ?? this.default ?? '', 'placeholder': this.placeholder ?? null,
			'disabled': this.isLocked(), 'list': this.keylist.length ? `list.${this.cbid(section_id)}` : null });
	}
	async render(at, section_id, inTable) {
		const value = await this.load(section_id);
		if (this.data !== undefined)
			this.data[section_id] = value;
		const widget = await this.renderWidget(section_id, at, this.cfgvalue(section_id));
		const frame = E('div', { 'class': 'cbi-value', 'id': this.cbid(section_id), 'data-field': this.cbid(section_id), 'data-name': this.option }, [
			inTable ? '' : E('label', { 'class': 'cbi-value-title' }, [ this.title ?? '' ]),
			E('div', { 'class': 'cbi-value-field' }, [ widget, inTable ? '' : E('div', { 'class': 'cbi-value-description' }, this.description ?? ''), E('span', { 'class': 'cbi-value-problem' }) ]) ]);
		frame.addEventListener('change', event => this.changed(section_id, event));
		return frame;
	}
}

class ListValue extends AbstractValue {
	renderWidget(section_id, at, value) {
		return E('select', { 'id': `widget.${this.cbid(section_id)}`, 'class': 'cbi-input-select', 'disabled': this.isLocked() }, this.keylist.map((key, index) =>
			E('option', { 'value': key, 'selected': key == (value ?? this.default ?? '') ? '' : null }, [ this.vallist[index] ])));
	}
}

class Flag extends AbstractValue {
	renderWidget(section_id, at, value) {
		return E('input', { 'id': `widget.${this.cbid(section_id)}`, 'type': 'checkbox', 'checked': (value ?? this.default) == '1' ? '' : null, 'disabled': this.isLocked() });
	}
	formvalue(section_id) { const input = this.input(section_id); return input ? input.checked ? '1' : '0' : '0'; }
	async parse(section_id) {
		if (!this.isActive(section_id)) {
			if (!this.retain)
				this.remove(section_id);
		} else if (this.formvalue(section_id) == this.default && this.rmempty)
			this.remove(section_id);
		else
			this.write(section_id, this.formvalue(section_id));
	}
}

class DynamicList extends AbstractValue {
	renderWidget(section_id, at, value) {
		const list = E('div', { 'id': `widget.${this.cbid(section_id)}`, 'class': 'cbi-dynlist' });
		const add = text => list.insertBefore(E('input', { 'type': 'text', 'class': 'cbi-input-text', 'value': text, 'disabled': this.isLocked() }), list.lastElementChild);
		list.append(E('button', { 'class': 'cbi-button-add', 'disabled': this.isLocked(), 'click': event => { event.preventDefault(); add(''); } }, [ '+' ]));
		listOf(value).forEach(add);
		return list;
	}
	formvalue(section_id) { const list = this.input(section_id); return list ? [ ...list.querySelectorAll('input') ].map(input => input.value).filter(text => text) : null; }
}

class DummyValue extends AbstractValue {
	renderWidget(section_id, at, value) { return E('div', {}, this.rawhtml && !(value instanceof Node) ? `${value ?? ''}` : [ value ?? '' ]); }
	formvalue() { return null; }
	async parse() {}
	write() {}
	remove() {}
}

class NetworkSelect extends AbstractValue {
	async load(section_id) { this.networks = await network.getNetworks(); return super.load(section_id); }
	filter() { return true; }
	renderWidget(section_id, at, value) {
		const names = this.networks.map(found => found.getName()).filter(name => this.filter(section_id, name));
		if (value && !names.includes(value))
			names.push(value);
		return E('select', { 'id': `widget.${this.cbid(section_id)}`, 'class': 'cbi-input-select', 'disabled': this.isLocked() }, [ '', ...names ].map(name =>
			E('option', { 'value': name, 'selected': name == (value ?? '') ? '' : null }, [ name || 'unspecified' ])));
	}
}

class AbstractSection extends Base {
	constructor(map, sectiontype, title, description) {
		super();
		Object.assign(this, { map, sectiontype, title, description, children: [], tabs: [] });
	}
	tab(name, title) { this.tabs.push({ name, title }); }
	option(Class, name, title, description) {
		const option = new Class(this.map, this, name, title, description);
		this.children.push(option);
		return option;
	}
	taboption(tab, Class, name, ...rest) {
		if (!this.tabs.some(known => known.name == tab))
			throw new ReferenceError(`Associated tab not declared: ${tab}`);
		const option = this.option(Class, name, ...rest);
		option.tab = tab;
		return option;
	}
	cfgsections() { return this.map.data.sections(this.map.config, this.sectiontype).map(section => section['.name']); }
	parse() { return Promise.all(this.cfgsections().flatMap(section_id => this.children.map(child => child.parse(section_id)))); }
	async renderUCISection(section_id) {
		const fields = [];
		for (const child of this.children)
			fields.push(await child.render(0, section_id));
		const pane = name => E('div', { 'class': 'cbi-tabpane', 'data-tab': name }, fields.filter((field, at) => (this.children[at].tab ?? null) == name));
		if (!this.tabs.length)
			return E('div', { 'class': 'cbi-section-node' }, fields);
		const panes = this.tabs.map(tab => pane(tab.name));
		const heads = this.tabs.map((tab, at) => E('li', { 'data-tab': tab.name }, [ E('a', { 'href': '#', 'click': event => { event.preventDefault(); show(at); } }, [ tab.title ]) ]));
		const show = at => panes.forEach((found, index) => { found.classList.toggle('hidden', index != at); heads[index].classList.toggle('active', index == at); });
		show(0);
		return E('div', { 'class': 'cbi-section-node' }, [ E('ul', { 'class': 'tabs' }, heads), ...panes ]);
	}
	handleAdd(event, name) { this.map.data.add(this.map.config, this.sectiontype, name); return this.map.save(null, true); }
	handleRemove(section_id) { this.map.data.remove(this.map.config, section_id); return this.map.save(null, true); }
	renderSectionAdd() { return ''; }
}

class NamedSection extends AbstractSection {
	constructor(map, section_id, sectiontype, title, description) { super(map, sectiontype, title, description); this.section_id = section_id; }
	cfgsections() { return [ this.section_id ]; }
	async render() { return E('div', { 'class': 'cbi-section' }, [ await this.renderUCISection(this.section_id) ]); }
}

class TypedSection extends AbstractSection {
	async render() {
		const parts = [];
		for (const section_id of this.cfgsections())
			parts.push(E('div', { 'class': 'cbi-section-remove right' }, [ E('button', { 'class': 'cbi-button cbi-button-remove', 'disabled': this.map.readonly ? '' : null,
				'data-remove': section_id, 'click': ui.createHandlerFn(this, 'handleRemove', section_id) }, [ 'Delete' ]) ]), await this.renderUCISection(section_id));
		return E('div', { 'class': 'cbi-section' }, [ ...parts, this.addremove ? this.renderSectionAdd() : '' ]);
	}
}

class GridSection extends AbstractSection {
	columns() { return this.children.filter(child => child.modalonly !== true); }
	parse() { return Promise.all(this.cfgsections().flatMap(section_id => this.columns().filter(child => child.editable).map(child => child.parse(section_id)))); }
	async render() {
		const rows = [];
		for (const section_id of this.cfgsections()) {
			const cells = [];
			for (const column of this.columns()) {
				const field = await column.render(0, section_id, true);
				const text = column.editable ? null : column.textvalue(section_id);
				cells.push(E('td', { 'class': 'td', 'data-title': column.title }, column.editable ? [ field ] : text instanceof Node ? [ text ] : `${text ?? ''}`));
			}
			const button = (name, title, action, isHarmless) => E('button', { 'class': `cbi-button cbi-button-${name}`, 'disabled': this.map.readonly && !isHarmless ? '' : null, 'click': ui.createHandlerFn(this, action, section_id) }, [ title ]);
			rows.push(E('tr', { 'class': 'tr cbi-section-table-row', 'data-section-id': section_id }, [ E('td', { 'class': 'td', 'data-title': 'Name' }, [ E('b', {}, [ section_id ]) ]), ...cells,
				E('td', { 'class': 'td cbi-section-actions' }, [ button('edit', 'Edit', 'renderMoreOptionsModal', true), ' ', button('remove', 'Delete', 'handleRemove') ]) ]));
		}
		const titles = E('tr', { 'class': 'tr table-titles' }, [ 'Name', ...this.columns().map(column => column.title), '' ].map(title => E('th', { 'class': 'th' }, [ title ])));
		return E('div', { 'class': 'cbi-section' }, [ E('table', { 'class': 'table' }, [ titles, ...rows ]), this.addremove ? this.renderSectionAdd() : '' ]);
	}
	async renderMoreOptionsModal(section_id) {
		const map = new Map_(this.map.config);
		map.isModal = true;
		const section = map.section(NamedSection, section_id, this.sectiontype);
		section.tabs = this.tabs;
		for (const child of this.children.filter(child => child.modalonly !== false)) {
			const copy = section.option(child.constructor, child.option, child.title, child.description);
			for (const key of Object.keys(child))
				if (![ 'map', 'section', 'option', 'title', 'description', 'data' ].includes(key))
					copy[key] = child[key];
		}
		const node = await map.render();
		ui.showModal(this.modaltitle?.(section_id) ?? section_id, [ node, E('div', { 'class': 'right' }, [
			E('button', { 'class': 'cbi-button', 'click': ui.hideModal }, [ 'Dismiss' ]), ' ',
			E('button', { 'class': 'cbi-button cbi-button-positive', 'disabled': map.readonly ? '' : null, 'click': ui.createHandlerFn(this, () =>
				map.save().then(ui.hideModal).then(() => this.map.redraw()).catch(error => ui.addNotification(null, E('p', {}, [ error.message ]), 'danger'))) }, [ 'Save' ]) ]) ], 'cbi-modal');
		section.children.forEach(child => child.updateVisibility(section_id));
	}
}

class Map_ extends Base {
	constructor(config, title, description) {
		super();
		Object.assign(this, { config, title, description, sections: [], data: uci, readonly: readonlyNow() });
	}
	section(Class, ...args) {
		const section = new Class(this, ...args);
		this.sections.push(section);
		return section;
	}
	async render() {
		await this.data.load(this.config);
		this.node = E('div', { 'class': 'cbi-map' });
		await this.redraw();
		if (!this.isModal && !maps.includes(this))
			maps.push(this);
		return this.node;
	}
	async redraw() {
		const parts = [];
		for (const section of this.sections)
			parts.push(await section.render());
		dom.content(this.node, [ this.title ? E('h2', {}, [ this.title ]) : '', this.description ? E('div', { 'class': 'cbi-map-descr' }, this.description) : '', ...parts ]);
	}
	parse() { return Promise.all(this.sections.map(section => section.parse())); }
	async save() {
		await this.parse();
		await this.data.save();
		await this.redraw();
	}
}

class JSONMap extends Map_ {
	constructor(values, title, description) {
		super('json', title, description);
		this.isModal = true;
		this.data = { load: async () => {}, get: (config, section, option) => values[section]?.[option] || null, set: (config, section, option, value) => { values[section][option] = value; },
			unset: (config, section, option) => { delete values[section][option]; }, sections: () => Object.keys(values).map(name => ({ '.name': name })), save: async () => {} };
	}
}

modules.form = strict({ Map: Map_, JSONMap, NamedSection, TypedSection, GridSection, Value: class Value extends AbstractValue {}, ListValue, Flag, DynamicList, DummyValue }, 'form');
modules['tools.widgets'] = strict({ NetworkSelect }, 'widgets');
window.__standin.saveAll = () => maps.reduce((done, map) => done.then(() => map.save()), Promise.resolve());

/* What the forms declare, for the comparison with the parser's table. */
window.__fields = () => maps.flatMap(map => map.sections.flatMap(section => section.children.map(child => ({
	section: section.sectiontype, option: child.option, kind: child.constructor.prototype.__name__ ?? child.constructor.name, tab: child.tab ?? null, modalonly: child.modalonly, title: child.title,
	default: child.default, placeholder: child.placeholder ?? null, rmempty: child.rmempty, retain: !!child.retain, choices: child.keylist, deps: child.deps }))));
/* What the form thinks of values: null or a complaint. */
window.__problem = (type, option, value) => {
	const child = maps.flatMap(map => map.sections).filter(section => section.sectiontype == type).flatMap(section => section.children).find(found => found.option == option && found.modalonly !== false);
	const said = child.validate(child.section.cfgsections()[0], value);
	return said === true ? null : said;
};
})();
