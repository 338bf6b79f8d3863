'use strict';
'require view';
'require poll';
'require rpc';
'require fs';
'require ui';
'require dom';
'require mwan3.model as model';
'require mwan3.check as check';
'require mwan3.explain as explain';
'require mwan3.parts as parts';

const POLL_S = 5;
/* Looking for mistakes and counting connections reads more than the rest. */
const SELDOM = 12;
const EVENTS = 60;
const ROUNDS = 64;
const TEST_POLL_MS = 700;
const TEST_PATIENCE_MS = 60000;

const callService = rpc.declare({ object: 'mwan3', method: 'service', reject: true });
const callUplinks = rpc.declare({ object: 'mwan3', method: 'uplinks', expect: { uplinks: [] } });
const callHistory = rpc.declare({ object: 'mwan3', method: 'history', params: [ 'since_seq', 'limit' ] });
const callEvents = rpc.declare({ object: 'mwan3', method: 'events', params: [ 'since_seq', 'limit' ] });
const callRules = rpc.declare({ object: 'mwan3', method: 'rules', params: [ 'offset' ] });
const callPolicies = rpc.declare({ object: 'mwan3', method: 'policies', params: [ 'connections' ] });
const callCheck = rpc.declare({ object: 'mwan3', method: 'check' });
const callExplain = rpc.declare({ object: 'mwan3', method: 'explain', params: [ 'dest', 'src', 'proto', 'port' ], reject: true });
const callTest = rpc.declare({ object: 'mwan3', method: 'test', params: [ 'interface' ], reject: true });
const callTestResult = rpc.declare({ object: 'mwan3', method: 'test_result', params: [ 'id' ], reject: true });

const objectOr = (call, fallback) => L.resolveDefault(call, fallback).then(reply =>
	reply != null && typeof reply == 'object' && reply.error == null ? reply : fallback);

return view.extend({
	load() {
		this.state = { ticks: 0, seq: 0, eventSeq: 0, history: {}, events: [], read: {}, rates: {} };
		return this.fetch();
	},

	/* One request with all calls in it. A call that fails costs its part of the page only. */
	fetch() {
		const s = this.state, isSeldom = s.ticks++ % SELDOM == 0;
		return Promise.all([
			objectOr(callService(), null),
			L.resolveDefault(callUplinks(), []),
			objectOr(callHistory(s.seq, ROUNDS), {}),
			objectOr(callEvents(s.eventSeq, EVENTS), {}),
			this.fetchRules(),
			objectOr(callPolicies(isSeldom), {}),
			isSeldom ? objectOr(callCheck(), {}) : s.check
		]).then(replies => this.take(...replies));
	},

	/* Long lists come in pieces. */
	fetchRules(offset, before) {
		return objectOr(callRules(offset ?? 0), {}).then(reply => {
			const rules = [ ...(before ?? []), ...(reply.rules ?? []) ];
			return reply.rules?.length && rules.length < reply.total ? this.fetchRules(rules.length, rules) : rules;
		});
	},

	take(service, uplinks, history, events, rules, policies, found) {
		const s = this.state, now = Date.now();
		for (const uplink of uplinks) {
			const before = s.read[uplink.name];
			if (before)
				s.rates[uplink.name] = model.rates(before, uplink, now - before.at);
			s.read[uplink.name] = { rx_bytes: uplink.rx_bytes, tx_bytes: uplink.tx_bytes, at: now };
		}
		for (const name in history.interfaces ?? {})
			s.history[name] = model.append(s.history[name], history.interfaces[name].rtt);
		const isNewTracker = events.seq != null && events.seq < s.eventSeq;
		const news = (events.events ?? []).map(event => ({ ...event, at: now - event.ago * 1000 })).reverse();
		s.events = [ ...news, ...(isNewTracker ? [] : s.events) ].slice(0, EVENTS);
		s.seq = history.seq ?? s.seq;
		s.eventSeq = events.seq ?? s.eventSeq;
		s.connections = policies.connections ?? s.connections;
		return Object.assign(s, { service, uplinks, rules, policies: policies.policies ?? [], check: found });
	},

	render() {
		const eventFilter = E('select', { 'class': 'cbi-input-select', 'aria-label': _('Uplink'), 'change': () => this.drawEvents() }, []);
		this.nodes = {
			problems: E('div', { 'data-part': 'problems' }), headline: E('p', { 'data-part': 'headline' }),
			cards: E('div', { 'class': 'mwan3-cards' }), policies: E('div'), rules: E('div'), events: E('div'), eventFilter,
			answer: E('div', { 'data-part': 'answer', 'aria-live': 'polite' })
		};
		poll.add(() => this.fetch().then(() => this.draw()), POLL_S);
		const section = (title, ...children) => E('div', { 'class': 'cbi-section mwan3-part' }, [ E('h3', {}, [ title ]), ...children ]);
		this.nodes.page = E('div', { 'class': 'cbi-map mwan3' }, [
			parts.style(),
			E('div', { 'class': 'mwan3-head' }, [ E('h2', {}, [ _('Load Balancing') ]), this.nodes.headline ]),
			this.nodes.problems,
			section(_('Uplinks'), this.nodes.cards),
			section(_('Policies'), E('p', { 'class': 'mwan3-hint' }, [ _('Where new connections go now; the thin line below is what they do when every uplink works.') ]), this.nodes.policies),
			section(_('Rules'), E('p', { 'class': 'mwan3-hint' }, [ _('The first rule that matches decides. What matches none follows the main routing table.') ]), this.nodes.rules),
			section(_('Which way?'), this.renderQuestion(), this.nodes.answer),
			section(_('Events'), E('p', { 'class': 'mwan3-hint' }, [ eventFilter ]), this.nodes.events)
		]);
		this.draw();
		return this.nodes.page;
	},

	draw() {
		const s = this.state, n = this.nodes;
		n.page.classList.toggle('mwan3-absent', s.service == null);
		const head = s.service == null ? { kind: 'bad', text: _('No answer from the service') } : model.headline(s.uplinks);
		dom.content(n.headline, [ parts.badge(head.kind, head.text) ]);
		dom.content(n.problems, this.renderProblems());
		dom.content(n.cards, s.uplinks.length ? s.uplinks.map((uplink, at) => this.renderCard(uplink, at))
			: [ E('em', {}, [ _('No uplinks are configured') ]) ]);
		dom.content(n.policies, [ this.renderPolicies() ]);
		dom.content(n.rules, [ this.renderRules() ]);
		this.drawEventFilter();
		this.drawEvents();
	},

	renderProblems() {
		const s = this.state;
		const all = [ ...model.serviceProblems(s.service, s.check), ...(s.check?.problems ?? []).map(problem => model.problemView(problem)) ];
		const [ notes, rest ] = [ true, false ].map(isNote => all.filter(problem => (problem.kind == 'note') == isNote));
		const shown = rest.map(problem => this.renderProblem(problem));
		if (notes.length)
			shown.push(E('details', { 'open': this.notesAreOpen ? '' : null, 'toggle': ev => { this.notesAreOpen = ev.target.open; } }, [
				E('summary', {}, [ N_(notes.length, '%d note', '%d notes').format(notes.length) ]),
				...notes.map(problem => this.renderProblem(problem))
			]));
		return shown;
	},

	renderProblem(problem) {
		const mayWrite = L.hasViewPermission();
		const button = problem.action == 'start'
			? E('button', { 'class': 'btn cbi-button-action', 'disabled': mayWrite ? null : '', 'click': ui.createHandlerFn(this, 'handleStart') }, [ _('Start the service') ])
			: problem.page ? E('a', { 'class': 'btn', 'href': L.url(problem.page) + (problem.section ? `#edit=${problem.section}` : '') }, [ problem.fix ]) : '';
		return E('div', { 'class': `mwan3-problem mwan3-${problem.kind}`, 'data-problem': problem.id ?? problem.where }, [
			E('div', {}, [ E('strong', {}, [ problem.where ]), problem.text ]), button ]);
	},

	renderCard(uplink, at) {
		const s = this.state, history = s.history[uplink.name] ?? [], rates = s.rates[uplink.name] ?? {};
		const facts = parts.facts([
			[ _('Targets'), model.targetWords(uplink) ],
			[ _('Traffic'), uplink.device && rates.down != null ? `↓ ${model.rate(rates.down)}  ↑ ${model.rate(rates.up)}` : null,
				uplink.device ? _('received %s, sent %s').format(model.bytes(uplink.rx_bytes), model.bytes(uplink.tx_bytes)) : null ],
			[ _('Connections'), s.connections?.[uplink.name] != null ? model.count(s.connections[uplink.name]) : null ],
			[ _('Device'), uplink.device ?? (uplink.enabled ? _('none') : null) ],
			[ _('Address'), uplink.address ],
			[ _('Gateway'), uplink.gateway ],
			[ _('Metric'), uplink.metric != null ? `${uplink.metric}` : uplink.device && !uplink.gateway ? _('no default route') : null ]
		]);
		const mayTest = model.isProbed(uplink) && s.service?.tracker !== false && L.hasViewPermission();
		return parts.card(uplink, history, facts, uplink.targets > 0 ? [ E('button', { 'class': 'btn cbi-button-action',
			'disabled': mayTest ? null : '', 'click': ui.createHandlerFn(this, 'handleTest', uplink.name) }, [ _('Test now') ]) ] : []);
	},

	colourOf(name) {
		return parts.colour(Math.max(0, this.state.uplinks.findIndex(uplink => uplink.name == name)));
	},

	renderPolicies() {
		const named = member => ({ name: member.interface, colour: this.colourOf(member.interface) });
		const rows = this.state.policies.map(policy => model.policyView(policy)).map(policy => ({
			id: policy.name,
			cells: [
				E('strong', {}, [ policy.name ]),
				policy.family == 'ipv6' ? 'IPv6' : 'IPv4',
				E('div', { 'class': 'mwan3-bars' }, [
					parts.bar(policy.members.map(member => ({ ...named(member), share: member.actual })), false,
						policy.members.length ? _('nobody is left: traffic is %s').format(policy.fallback) : _('no members')),
					parts.bar(policy.members.map(member => ({ ...named(member), share: member.target })), true),
					E('div', { 'class': 'mwan3-legend' }, policy.members.map(member => E('span', { 'style': `--c:${this.colourOf(member.interface)}`,
						'class': member.role == 'active' ? null : 'mwan3-idle', 'title': _('member %s, metric %d, weight %d').format(member.member, member.metric, member.weight) }, [
						E('i'), _('%s: %s (planned %s), %s').format(member.interface, model.percent(member.actual), model.percent(member.target), model.roleWord(member.role)) ])))
				])
			]
		}));
		return parts.table([ { text: _('Policy') }, { text: _('Family') }, { text: _('New connections') } ], rows, _('No policies'));
	},

	renderRules() {
		const rows = this.state.rules.map((rule, at) => {
			const hits = model.hits(rule), target = model.targetWord(rule.use_policy);
			return { id: rule.name, quiet: !hits?.packets, cells: [
				`${at + 1}`, E('strong', {}, [ rule.name ]), model.ruleWords(rule),
				target + (rule.sticky ? ` ${_('(sticky, %s)').format(model.duration(rule.timeout))}` : ''),
				hits == null ? _('not in force') : hits.packets ? model.count(hits.packets) : _('never hit'),
				hits?.packets ? model.bytes(hits.bytes) : ''
			] };
		});
		return parts.table([ { text: '#' }, { text: _('Rule') }, { text: _('Takes') }, { text: _('Policy') },
			{ text: _('Packets'), number: true }, { text: _('Bytes'), number: true } ], rows, _('No rules: all traffic follows the main routing table'));
	},

	drawEventFilter() {
		const select = this.nodes.eventFilter, chosen = select.value;
		const names = this.state.uplinks.map(uplink => uplink.name);
		dom.content(select, [ E('option', { 'value': '' }, [ _('All uplinks') ]), ...names.map(name =>
			E('option', { 'value': name, 'selected': name == chosen ? '' : null }, [ name ])) ]);
	},

	drawEvents() {
		const only = this.nodes.eventFilter.value;
		const rows = this.state.events.filter(event => !only || event.interface == only).map(event => {
			const what = model.eventWord(event.event), time = new Date(event.at);
			return { id: `${event.seq}`, cells: [
				E('span', { 'title': time.toLocaleString() }, [ Date.now() - event.at < 3600000 ? _('%s ago').format(model.duration((Date.now() - event.at) / 1000)) : time.toLocaleString() ]),
				event.interface || '–', parts.badge(what.kind, what.word), event.reason ?? ''
			] };
		});
		dom.content(this.nodes.events, [ parts.table([ { text: _('Time') }, { text: _('Uplink') }, { text: _('Event') }, { text: _('Why') } ], rows,
			this.state.service?.tracker === false ? _('Nobody watches the uplinks') : _('Nothing has happened yet')) ]);
	},

	renderQuestion() {
		const input = (name, label, placeholder) => E('label', {}, [ label, E('input', { 'class': 'cbi-input-text', 'type': 'text', 'name': name, 'placeholder': placeholder ?? null,
			'autocomplete': 'off', 'autocapitalize': 'off' }) ]);
		const form = E('form', { 'class': 'mwan3-ask', 'submit': ev => { ev.preventDefault(); } }, [
			input('dest', _('To address'), '1.1.1.1'),
			input('src', _('From address'), _('this router')),
			E('label', {}, [ _('Protocol'), E('select', { 'class': 'cbi-input-select', 'name': 'proto' }, [ '', 'tcp', 'udp', 'icmp' ].map(proto =>
				E('option', { 'value': proto }, [ proto ? proto.toUpperCase() : _('any') ]))) ]),
			input('port', _('To port'), '443'),
			E('button', { 'class': 'btn cbi-button-action', 'click': ui.createHandlerFn(this, 'handleExplain') }, [ _('Show the way') ])
		]);
		this.nodes.question = form;
		return form;
	},

	handleExplain() {
		const form = this.nodes.question, input = {};
		for (const key of [ 'dest', 'src', 'proto', 'port' ])
			input[key] = form.querySelector(`[name=${key}]`).value;
		const asked = model.question(input, check);
		if (asked.error) {
			form.querySelector(`[name=${asked.field}]`).focus();
			return this.showAnswer({ kind: 'warn', title: asked.error });
		}
		const q = asked.question;
		return callExplain(q.dest, q.src, q.proto, q.port).then(reply => this.showAnswer(explain.answer(reply)))
			.catch(error => this.showAnswer({ kind: 'bad', title: _('No answer: %s').format(error.message) }));
	},

	showAnswer(answer) {
		dom.content(this.nodes.answer, [ E('div', { 'class': `mwan3-answer mwan3-${answer.kind}` }, [
			E('strong', {}, [ answer.title ]),
			answer.facts?.length ? parts.facts(answer.facts) : '',
			answer.why?.length ? E('ul', {}, answer.why.map(text => E('li', {}, [ text ]))) : '',
			answer.passed?.length ? E('details', {}, [ E('summary', {}, [ _('Rules that do not match') ]), E('ul', {}, answer.passed.map(text => E('li', {}, [ text ]))) ]) : ''
		]) ]);
	},

	handleTest(name) {
		ui.showModal(_('Test of an uplink'), [ E('p', { 'class': 'spinning' }, [ _('Probing all targets of %s…').format(name) ]) ]);
		return callTest(name)
			.then(reply => reply?.error != null ? reply : this.awaitTest(reply.id, Date.now() + TEST_PATIENCE_MS))
			.then(result => this.showTest(name, result))
			.catch(error => this.showTest(name, { error: error.message }));
	},

	awaitTest(id, deadline) {
		return callTestResult(id).then(result => {
			if (result?.done || result?.error != null)
				return result;
			if (Date.now() > deadline)
				return { error: _('no result in time') };
			return new Promise(resolve => window.setTimeout(resolve, TEST_POLL_MS)).then(() => this.awaitTest(id, deadline));
		});
	},

	showTest(name, result) {
		const rows = (result.targets ?? []).map(target => ({ id: target.target, cells: [ target.target,
			parts.badge(target.answered ? 'good' : 'bad', target.answered ? _('answered') : _('no')),
			target.answered ? model.roundTrip(target.rtt) : target.reason ?? '' ] }));
		ui.showModal(_('Test of an uplink'), [ E('div', { 'class': 'mwan3', 'data-part': 'test' }, [
			E('p', {}, [ E('strong', {}, [ name ]), ': ', result.error != null ? _('The test failed: %s').format(result.error) : result.verdict ?? '' ]),
			rows.length ? parts.table([ { text: _('Target') }, { text: _('Answer') }, { text: _('Round trip, or why not') } ], rows, '') : ''
		]), E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Close') ]) ]) ]);
	},

	handleStart() {
		return fs.exec('/etc/init.d/mwan3', [ 'start' ]).then(() => { this.state.ticks = 0; return this.fetch(); }).then(() => this.draw())
			.catch(error => ui.addNotification(null, E('p', {}, [ _('The service did not start: %s').format(error.message) ]), 'danger'));
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
