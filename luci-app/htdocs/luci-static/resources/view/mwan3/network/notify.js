'use strict';
'require view';
'require form';
'require uci';
'require fs';
'require ui';
'require mwan3.fields as fields';
'require mwan3.pages as pages';
'require mwan3.parts as parts';

const FILE = '/etc/mwan3.user';

return view.extend({
	/* A file that is not there is an empty one; one that may not be read must not be overwritten. */
	load() {
		const text = fs.read(FILE).then(found => found ?? '').catch(error => error.name == 'NotFoundError' ? '' : null);
		return Promise.all([ text, uci.load('mwan3') ]);
	},

	render([ text ]) {
		this.text = text;
		const map = this.map = new form.Map('mwan3', _('Load Balancing: notifications'), _('Who is told when an uplink goes offline or comes back.'));
		if (fields.has('alert'))
			this.addAlerts(map);
		return map.render().then(node => E('div', { 'class': 'mwan3' }, [ parts.style(), node, this.renderScript(text) ]));
	},

	addAlerts(map) {
		const section = map.section(form.GridSection, 'alert', _('Alerts'));
		section.addremove = true;
		section.nodescriptions = true;
		section.modaltitle = name => _('Alert %s').format(name);
		section.renderSectionAdd = () => pages.nameBox(section, 'alert', _('Add an alert'), _('name of an alert'));
		const column = (name, title, textOf) => {
			const option = section.option(form.DummyValue, name, title);
			option.modalonly = false;
			option.rawhtml = true;
			option.textvalue = section_id => E('span', {}, [ textOf(section_id) ]);
		};
		const value = option => name => fields.wordOf(uci.get('mwan3', name, option));
		column('_method', _('How to tell'), value('method'));
		column('_to', _('Whom to tell'), value('to'));
		column('_interface', _('Uplinks'), name => value('interface')(name) || _('all'));
		fields.addAll(section, 'alert', { hasTabs: true });
	},

	renderScript(text) {
		const isLocked = text == null || !L.hasViewPermission();
		const variable = (name, meaning) => [ E('dt', {}, [ E('code', {}, [ name ]) ]), E('dd', { 'style': 'text-align:left' }, [ meaning ]) ];
		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Script') ]),
			E('p', {}, [ _('This shell script runs whenever something happens to an uplink: switch a light, change a route, tell somebody. It is %s.').format(FILE) ]),
			E('dl', { 'class': 'mwan3-facts' }, [
				...variable('ACTION', _('ifup, ifdown, connected, disconnected: the interface comes up or goes down, the uplink is online or offline')),
				...variable('INTERFACE', _('the uplink, such as wan')),
				...variable('DEVICE', _('its network device, such as eth1; may be empty'))
			]),
			text == null ? E('p', { 'class': 'alert-message warning' }, [ _('The file cannot be read.') ]) : '',
			E('textarea', { 'id': 'mwan3-user', 'style': 'width:100%;box-sizing:border-box;font-family:monospace', 'rows': 18, 'wrap': 'off', 'spellcheck': 'false', 'disabled': isLocked ? '' : null }, [ text ?? '' ])
		]);
	},

	/* What nobody changed is not written. */
	handleSave() {
		return this.map.save(null, true).then(() => {
			const area = document.getElementById('mwan3-user');
			if (this.text == null || area.value == this.text)
				return null;
			const text = `${area.value.replace(/\r\n?/g, '\n').trimEnd()}\n`;
			return fs.write(FILE, text).then(() => {
				area.value = this.text = text;
				ui.addNotification(null, E('p', {}, [ _('The script is saved. It is used from the next event on.') ]), 'info');
			});
		}).catch(error => ui.addNotification(null, E('p', {}, [ _('Not saved: %s').format(error.message) ]), 'danger'));
	}
});
