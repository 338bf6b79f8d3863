'use strict';
'require view';
'require form';
'require uci';
'require rpc';
'require ui';
'require dom';
'require poll';
'require network';
'require tools.widgets as widgets';
'require mwan3.model as model';
'require mwan3.check as check';
'require mwan3.fields as fields';
'require mwan3.pages as pages';
'require mwan3.references as references';
'require mwan3.parts as parts';

const callUplinks = rpc.declare({ object: 'mwan3', method: 'uplinks', expect: { uplinks: [] } });

/* What changes the computed times. */
const TIMING = [ 'track_ip', 'interval', 'timeout', 'down', 'confirm_interval', 'up', 'recovery_interval', 'failure_interval', 'keep_failure_interval' ];

function promiseText(get, targets) {
	const promise = check.promise(get, targets);
	if (!promise)
		return _('Not probed: counts as online while the interface is up.');
	const range = ([ best, worst ]) => _('%s to %s s').format(check.seconds(best), check.seconds(worst));
	return _('A silent fault is left after %s, a link that works again is used after %s.').format(range(promise.left), range(promise.used));
}

return view.extend({
	load() {
		return Promise.all([ L.resolveDefault(callUplinks(), []), network.getNetworks(), uci.load('mwan3'), uci.load('network') ]);
	},

	render([ uplinks, networks ]) {
		this.uplinks = uplinks;
		this.networks = networks;
		const map = new form.Map('mwan3', _('Load Balancing: uplinks'),
			_('The interfaces that lead to the Internet. Each needs a default route with a metric of its own; an uplink with IPv4 and IPv6 needs two entries.'));
		const section = this.section = map.section(form.GridSection, 'interface');
		section.addremove = true;
		section.nodescriptions = true;
		section.modaltitle = name => _('Uplink %s').format(name);
		section.renderSectionAdd = () => this.renderAdd(section);
		const superRemove = section.handleRemove;
		section.handleRemove = (name, ev) => pages.confirmRemoval('interface', name, () => superRemove.call(section, name, ev));
		this.addColumns(section);
		fields.addAll(section, 'interface', { hasTabs: true, touch: (field, spec) => this.touch(field, spec) });
		this.addPromise(section);
		return map.render().then(node => {
			poll.add(() => L.resolveDefault(callUplinks(), []).then(fresh => { this.uplinks = fresh; this.drawLive(node); }), 5);
			pages.openLinked(section);
			return E('div', { 'class': 'mwan3' }, [ parts.style(), node ]);
		});
	},

	addColumns(section) {
		const enabled = section.option(fields.YesNo, 'enabled', _('Enabled'));
		enabled.default = '0';
		enabled.rmempty = false;
		enabled.retain = true;
		enabled.editable = true;
		enabled.modalonly = false;
		const column = (name, title, textOf) => {
			const option = section.option(form.DummyValue, name, title);
			option.modalonly = false;
			option.rawhtml = true;
			option.textvalue = section_id => E('span', { 'data-live': name, 'data-uplink': section_id }, [ textOf(section_id) ]);
		};
		this.live = {
			_state: name => this.stateBadge(name),
			_metric: name => this.metricText(name)
		};
		column('_state', _('State'), this.live._state);
		column('_family', _('Protocol'), name => fields.effective(name, 'interface', 'family') == 'ipv6' ? 'IPv6' : 'IPv4');
		column('_targets', _('Targets'), name => references.list(uci.get('mwan3', name, 'track_ip')).join(', ') || _('none'));
		column('_left', _('Left after'), name => {
			const promise = check.promise(option => fields.effective(name, 'interface', option), references.list(uci.get('mwan3', name, 'track_ip')).length);
			return promise ? _('%s to %s s').format(check.seconds(promise.left[0]), check.seconds(promise.left[1])) : _('not probed');
		});
		column('_metric', _('Metric'), this.live._metric);
	},

	stateBadge(name) {
		const uplink = this.uplinks.find(found => found.name == name);
		if (!uplink)
			return E('em', {}, [ _('not known yet') ]);
		const state = model.stateOf(uplink);
		return parts.badge(state.kind, state.word);
	},

	/* The metric in force, else the one that is configured, else what is missing. */
	metricText(name) {
		const uplink = this.uplinks.find(found => found.name == name);
		const written = uci.get('network', name, 'metric');
		if (uplink?.metric > 0 || written != null)
			return `${uplink?.metric ?? written}`;
		return uci.get('network', name) == null ? '–' : E('a', { 'href': L.url('admin/network/network') }, [ _('none: set one') ]);
	},

	drawLive(node) {
		node.querySelectorAll('[data-live]').forEach(cell => {
			const draw = this.live[cell.getAttribute('data-live')];
			if (draw)
				dom.content(cell, [ draw(cell.getAttribute('data-uplink')) ]);
		});
	},

	/* LuCI copies a field for its dialog: `this` in a handler is the copy, the one with what is typed. */
	touch(field, spec) {
		const page = this;
		if (TIMING.includes(spec.name))
			field.onchange = function(ev, section_id) { page.drawPromise(this.section, section_id); };
		if ([ 'track_ip', 'gateway' ].includes(spec.name))
			field.validate = function(section_id, value) { return page.familyProblem(this.section, section_id, spec, value) ?? true; };
		if (spec.name == 'reliability')
			field.validate = function(section_id, value) { return check.problem(spec, value) ?? page.reliabilityProblem(this.section, section_id, value) ?? true; };
	},

	familyProblem(section, section_id, spec, value) {
		const family = fields.edited(section, section_id, 'interface', 'family');
		const own = check.familyOf(`${value ?? ''}`.split('%')[0]);
		return check.problem(spec, value) ?? (own && own != family ? _('This address can never answer: the uplink is %s').format(family == 'ipv6' ? 'IPv6' : 'IPv4') : null);
	},

	reliabilityProblem(section, section_id, value) {
		const targets = references.list(fields.edited(section, section_id, 'interface', 'track_ip')).length;
		return targets && +value > targets ? _('There are only %d targets: the uplink would never be online').format(targets) : null;
	},

	/* The computed times, in the dialog. */
	addPromise(section) {
		const option = section.taboption('timing', form.DummyValue, '_promise', _('What this means'));
		option.modalonly = true;
		option.rawhtml = true;
		option.cfgvalue = section_id => E('strong', { 'data-promise': section_id }, [
			promiseText(name => fields.effective(section_id, 'interface', name), references.list(uci.get('mwan3', section_id, 'track_ip')).length) ]);
		option.write = option.remove = () => {};
	},

	drawPromise(section, section_id) {
		const targets = references.list(fields.edited(section, section_id, 'interface', 'track_ip')).length;
		document.querySelectorAll(`[data-promise="${section_id}"]`).forEach(node =>
			dom.content(node, [ promiseText(name => fields.edited(section, section_id, 'interface', name), targets) ]));
	},

	renderAdd(section) {
		const isLocked = section.map.readonly ? '' : null;
		return E('div', { 'class': 'cbi-section-create cbi-tblsection-create' }, [
			E('button', { 'class': 'cbi-button cbi-button-add', 'disabled': isLocked, 'click': ui.createHandlerFn(this, 'handleAddOne') }, [ _('Add an uplink…') ]), ' ',
			E('button', { 'class': 'cbi-button', 'disabled': isLocked, 'click': ui.createHandlerFn(this, 'handleAddAll') }, [ _('Add all uplinks') ])
		]);
	},

	/* A network of the router, or a name typed for one that comes later. */
	handleAddOne() {
		const map = new form.JSONMap({ add: { name: '' } });
		const section = map.section(form.NamedSection, 'add', 'add');
		const name = section.option(widgets.NetworkSelect, 'name', _('Network'), _('An interface of Network > Interfaces. A name that is not there yet may be typed.'));
		name.rmempty = false;
		name.nocreate = false;
		name.filter = (section_id, value) => uci.get('mwan3', value) == null;
		name.validate = (section_id, value) => !value || (references.nameProblem(pages.allSections(), value, 'interface') ?? true);
		return map.render().then(node => ui.showModal(_('Add an uplink'), [ node, E('div', { 'class': 'right' }, [
			E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Cancel') ]), ' ',
			E('button', { 'class': 'btn cbi-button-positive', 'click': ui.createHandlerFn(this, () => map.parse().then(() => {
				const value = name.formvalue('add');
				ui.hideModal();
				return this.addUplink(value).then(() => this.section.renderMoreOptionsModal(value));
			}).catch(() => {})) }, [ _('Add') ])
		]) ]));
	},

	addUplink(name, family) {
		uci.add('mwan3', 'interface', name);
		uci.set('mwan3', name, 'enabled', '1');
		uci.set('mwan3', name, 'family', family ?? (/6$/.test(name) ? 'ipv6' : 'ipv4'));
		return this.section.map.save(null, true);
	},

	/* Every network that has a default route and is no uplink yet. */
	handleAddAll() {
		const isNew = found => uci.get('mwan3', found.getName()) == null && /^[A-Za-z0-9_]+$/.test(found.getName());
		const news = this.networks.filter(found => isNew(found) && (found.getGatewayAddr() || found.getGateway6Addr()));
		if (!news.length) {
			ui.addNotification(null, E('p', {}, [ _('Every network with a default route is an uplink already.') ]), 'info');
			return Promise.resolve();
		}
		return news.reduce((done, found) => done.then(() => this.addUplink(found.getName(), found.getGatewayAddr() ? 'ipv4' : 'ipv6')), Promise.resolve());
	}
});
