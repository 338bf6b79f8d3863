'use strict';
'require view';
'require fs';
'require ui';
'require dom';
'require mwan3.parts as parts';

/* What a person at the router's shell would type. Each must be granted, word for word, in acl.d. */
const COMMANDS = [
	{ title: () => _('State'), words: [ 'status' ] },
	{ title: () => _('Mistakes and detection times'), words: [ 'check', '-v' ] },
	{ title: () => _('Kernel, IPv4'), words: [ 'internal', 'ipv4' ] },
	{ title: () => _('Kernel, IPv6'), words: [ 'internal', 'ipv6' ] }
];

return view.extend({
	load() {
		return this.fetch();
	},

	fetch() {
		return Promise.all(COMMANDS.map(command => L.resolveDefault(fs.exec('/usr/sbin/mwan3', command.words), null)));
	},

	render(replies) {
		this.nodes = COMMANDS.map(() => E('pre', {}, []));
		this.draw(replies);
		return E('div', { 'class': 'cbi-map mwan3' }, [
			parts.style(),
			E('h2', {}, [ _('Load Balancing: details') ]),
			E('p', { 'class': 'mwan3-hint' }, [ _('For questions and bug reports. The texts hold addresses of yours: read them before you publish them.') ]),
			E('p', {}, [
				E('button', { 'class': 'btn cbi-button-action', 'click': ui.createHandlerFn(this, () => this.fetch().then(fresh => this.draw(fresh))) }, [ _('Refresh') ]), ' ',
				E('button', { 'class': 'btn', 'click': ui.createHandlerFn(this, () => this.copy(COMMANDS.map((command, at) => this.textOf(at)).join('\n'))) }, [ _('Copy everything') ])
			]),
			...COMMANDS.map((command, at) => E('div', { 'class': 'cbi-section' }, [
				E('button', { 'class': 'btn mwan3-copy', 'click': ui.createHandlerFn(this, () => this.copy(this.textOf(at))) }, [ _('Copy') ]),
				E('h3', {}, [ command.title() ]),
				E('p', { 'class': 'mwan3-hint' }, [ E('code', {}, [ `mwan3 ${command.words.join(' ')}` ]) ]),
				this.nodes[at]
			]))
		]);
	},

	draw(replies) {
		replies.forEach((reply, at) => dom.content(this.nodes[at], [ reply == null ? _('The command cannot be run: is mwan3 installed, and may this login run it?')
			: `${reply.stdout ?? ''}${reply.stderr ?? ''}`.trim() || _('Nothing was printed.') ]));
	},

	textOf(at) {
		return `$ mwan3 ${COMMANDS[at].words.join(' ')}\n${this.nodes[at].textContent}\n`;
	},

	/* The clipboard's own interface exists on HTTPS only; routers are mostly on HTTP. */
	copy(text) {
		const area = E('textarea', { 'style': 'position:fixed;opacity:0' }, [ text ]);
		document.body.appendChild(area);
		area.select();
		const isDone = document.execCommand('copy');
		area.remove();
		ui.addNotification(null, E('p', {}, [ isDone ? _('Copied.') : _('Your browser does not let pages copy: select the text by hand.') ]), isDone ? 'info' : 'warning');
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
