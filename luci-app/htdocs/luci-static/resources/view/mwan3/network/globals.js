'use strict';
'require view';
'require form';
'require uci';
'require mwan3.fields as fields';
'require mwan3.parts as parts';

return view.extend({
	load() {
		return uci.load('mwan3');
	},

	render() {
		const map = new form.Map('mwan3', _('Load Balancing: globals'), _('What holds for all uplinks, policies and rules.'));
		const section = map.section(form.NamedSection, 'globals', 'globals');
		fields.addAll(section, 'globals', { hasTabs: true });
		return map.render().then(node => E('div', { 'class': 'mwan3' }, [ parts.style(), node ]));
	}
});
