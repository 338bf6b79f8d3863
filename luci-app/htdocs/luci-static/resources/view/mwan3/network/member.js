'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require mwan3.fields as fields';
'require mwan3.pages as pages';
'require mwan3.references as references';
'require mwan3.parts as parts';

const usersOf = name => references.users(pages.allSections(), 'member', name).map(user => user.name);

return view.extend({
	load() {
		return uci.load('mwan3');
	},

	render() {
		const map = new form.Map('mwan3', _('Load Balancing: members'),
			_('What policies are made of: an uplink with a tier and a weight. The page "Policies" makes and changes members by itself; this one is for those who share members among policies.'));
		const section = this.section = map.section(form.GridSection, 'member');
		section.addremove = true;
		section.nodescriptions = true;
		section.modaltitle = name => _('Member %s').format(name);
		section.renderSectionAdd = () => E('div', {}, [ pages.nameBox(section, 'member', _('Add a member'), _('name of a member')), this.renderCleaning(map) ]);
		const superRemove = section.handleRemove;
		section.handleRemove = (name, ev) => pages.confirmRemoval('member', name, () => superRemove.call(section, name, ev));
		fields.addAll(section, 'member', { touch: (field, spec) => {
			field.modalonly = null;
			field.textvalue = name => E('span', {}, [ fields.effective(name, 'member', spec.name) || _('none') ]);
		} });
		const users = section.option(form.DummyValue, '_users', _('Used by'));
		users.modalonly = false;
		users.rawhtml = true;
		users.textvalue = name => E('span', {}, [ usersOf(name).join(', ') || _('nobody') ]);
		return map.render().then(node => E('div', { 'class': 'mwan3' }, [ parts.style(), node ]));
	},

	renderCleaning(map) {
		const unused = uci.sections('mwan3', 'member').map(member => member['.name']).filter(name => !usersOf(name).length);
		if (!unused.length)
			return '';
		return E('button', { 'class': 'cbi-button', 'disabled': map.readonly ? '' : null, 'title': unused.join(', '), 'click': ui.createHandlerFn(this, () => {
			unused.forEach(name => uci.remove('mwan3', name));
			return map.save(null, true);
		}) }, [ N_(unused.length, 'Remove %d unused member', 'Remove %d unused members').format(unused.length) ]);
	}
});
