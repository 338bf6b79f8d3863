'use strict';
'require baseclass';
'require rpc';
'require mwan3.model as model';
'require mwan3.parts as parts';

const callUplinks = rpc.declare({ object: 'mwan3', method: 'uplinks', expect: { uplinks: [] } });
const callHistory = rpc.declare({ object: 'mwan3', method: 'history', params: [ 'since_seq', 'limit' ] });

return baseclass.extend({
	title: _('Load Balancing'),

	load() {
		return Promise.all([ L.resolveDefault(callUplinks(), []), L.resolveDefault(callHistory(this.seq ?? 0, 64), {}) ]);
	},

	/* Nothing to say: no section. */
	render([ uplinks, history ]) {
		if (!Array.isArray(uplinks) || !uplinks.length)
			return null;
		this.seq = history?.seq ?? this.seq ?? 0;
		this.known = this.known ?? {};
		for (const name in history?.interfaces ?? {})
			this.known[name] = model.append(this.known[name], history.interfaces[name].rtt);
		return E('div', { 'class': 'mwan3' }, [ parts.style(), E('div', { 'class': 'mwan3-cards' }, uplinks.map(uplink =>
			parts.card(uplink, this.known[uplink.name] ?? []))) ]);
	}
});
