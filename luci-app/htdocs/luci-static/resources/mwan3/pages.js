'use strict';
'require baseclass';
'require uci';
'require ui';
'require mwan3.references as references';

/* What the configuration pages share: names that fit, removal that leaves nobody behind, links that open a section. */

const allSections = () => uci.sections('mwan3');
const KINDS = { interface: _('uplink'), member: _('member'), policy: _('policy'), rule: _('rule'), alert: _('alert') };

return baseclass.extend({
	allSections,

	/* The box for a new section's name, which says while typing what is wrong with it. */
	nameBox(section, kind, buttonText, placeholder) {
		const input = E('input', { 'type': 'text', 'class': 'cbi-section-create-name', 'placeholder': placeholder ?? null, 'disabled': section.map.readonly ? '' : null });
		const complaint = E('span', { 'class': 'mwan3-hint', 'role': 'alert' }, []);
		const button = E('button', { 'class': 'cbi-button cbi-button-add', 'disabled': '', 'click': ui.createHandlerFn(section, ev => section.handleAdd(ev, input.value)) }, [ buttonText ]);
		input.addEventListener('input', () => {
			const problem = input.value ? references.nameProblem(allSections(), input.value, kind) : null;
			complaint.textContent = problem ?? '';
			input.classList.toggle('cbi-input-invalid', problem != null);
			button.disabled = !input.value || problem != null || !!section.map.readonly;
		});
		return E('div', { 'class': 'cbi-section-create cbi-tblsection-create' }, [ E('div', {}, [ input ]), button, ' ', complaint ]);
	},

	/* Asks before a section goes that others name. `proceed()` removes it. */
	confirmRemoval(kind, name, proceed) {
		const users = references.users(allSections(), kind, name);
		if (!users.length)
			return proceed();
		const mustKeep = users.some(user => user.kind == 'rule');
		const list = E('ul', {}, users.map(user => E('li', {}, [ `${KINDS[user.kind]} ${user.name}` ])));
		const close = E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Keep it') ]);
		const remove = E('button', { 'class': 'btn cbi-button-negative', 'click': ui.createHandlerFn(this, () => {
			this.unlink(kind, name);
			ui.hideModal();
			return proceed();
		}) }, [ _('Remove it there, too') ]);
		ui.showModal(_('%s is in use').format(name), [
			E('p', {}, [ mustKeep ? _('These rules use it. Give them another policy first.') : _('It is named here:') ]), list,
			E('div', { 'class': 'right' }, mustKeep ? [ close ] : [ close, ' ', remove ])
		]);
		return Promise.resolve();
	},

	/* Takes a name out of whatever names it. A member that stands for a removed uplink goes with it. */
	unlink(kind, name) {
		if (kind == 'interface')
			for (const user of references.users(allSections(), kind, name).filter(user => user.kind == 'member')) {
				this.unlink('member', user.name);
				uci.remove('mwan3', user.name);
			}
		this.change(references.retarget(allSections(), kind, name, null));
	},

	change(changes) {
		for (const { section, option, value } of changes)
			if (value == null)
				uci.unset('mwan3', section, option);
			else
				uci.set('mwan3', section, option, value);
	},

	/* "#edit=NAME", as the status page links. */
	openLinked(section) {
		const name = /^#edit=([A-Za-z0-9_]+)$/.exec(window.location.hash)?.[1];
		if (name && uci.get('mwan3', name) != null)
			window.setTimeout(() => section.renderMoreOptionsModal(name), 0);
	}
});
