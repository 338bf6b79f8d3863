/* Stands in for LuCI's client: just what these pages use, measured in a real LuCI (pages.test.mjs). Strict: any
   other member throws, so that no page comes to rely on what nobody looked at. Nasty where LuCI is nasty. */
(() => {
const strict = (object, name) => new Proxy(object, {
	get(target, key) {
		if (key in target || typeof key == 'symbol' || key == 'then' || key == 'toJSON')
			return target[key];
		throw new Error(`stand-in: ${name}.${String(key)} is not part of the checked surface`);
	}
});

window._ = text => text;
window.N_ = (count, one, many) => count == 1 ? one : many;
String.prototype.format = function(...values) {
	return this.replace(/%%|%(\.\d+)?([a-zA-Z])/g, (found, precision, kind) => {
		if (found == '%%')
			return '%';
		const value = values.shift();
		switch (kind) {
		case 's': return String(value);
		case 'd': return String(Math.trunc(+value || 0));
		case 'f': return (+value).toFixed(precision ? +precision.slice(1) : 6);
		case 'h': return String(value).replace(/[&<>"']/g, letter => `&#${letter.charCodeAt(0)};`);
		default: throw new Error(`stand-in: format ${found} is not part of the checked surface`);
		}
	});
};

/* A bare string is markup, a string in a list is text, null in a list is a text node's "null": all as measured. */
function put(node, children) {
	if (children == null)
		return;
	if (Array.isArray(children))
		children.forEach(child => node.append(child instanceof Node ? child : document.createTextNode(`${child}`)));
	else if (children instanceof Node)
		node.append(children);
	else if (typeof children == 'function')
		put(node, children(node));
	else
		node.innerHTML = `${children}`;
}

function E(tag, attributes, children) {
	if (Array.isArray(tag)) {
		const fragment = document.createDocumentFragment();
		put(fragment, tag);
		return fragment;
	}
	const node = document.createElement(tag);
	if (attributes instanceof Node || Array.isArray(attributes) || typeof attributes == 'string')
		[ attributes, children ] = [ null, attributes ];
	for (const [ name, value ] of Object.entries(attributes ?? {}))
		if (typeof value == 'function')
			node.addEventListener(name, value);
		else if (value === false)
			throw new Error(`stand-in: LuCI writes ${name}="false"; use null`);
		else if (value != null)
			node.setAttribute(name, typeof value == 'object' ? JSON.stringify(value) : value);
	put(node, children);
	return node;
}
window.E = E;
const dom = strict({ content(node, children) { node.replaceChildren(); put(node, children); return node; } }, 'dom');

class Base {
	static extend(members) {
		const Child = class extends this {};
		Object.defineProperties(Child.prototype, Object.getOwnPropertyDescriptors(members));
		return Child;
	}
}

const env = window.__env;
let batch = null, lastId = 0;
function send(object, method, args) {
	return new Promise((resolve, reject) => {
		if (!batch) {
			batch = [];
			setTimeout(async () => {
				const sent = batch;
				batch = null;
				try {
					const response = await fetch('/ubus/', { method: 'POST', body: JSON.stringify(sent.map(call => call.message)) });
					const replies = await response.json();
					sent.forEach((call, at) => call.resolve(replies[at]));
				} catch (error) {
					sent.forEach(call => call.reject(error));
				}
			}, 0);
		}
		batch.push({ message: { jsonrpc: '2.0', id: ++lastId, method: 'call', params: [ env.sessionid, object, method, args ] }, resolve, reject });
	});
}

const typeOf = value => Object.prototype.toString.call(value);
const rpc = strict({
	declare: options => (...values) => {
		for (const key in options)
			if (![ 'object', 'method', 'params', 'expect', 'reject' ].includes(key))
				throw new Error(`stand-in: rpc.declare ${key} is not part of the checked surface`);
		const args = {};
		(options.params ?? []).forEach((name, at) => { if (values[at] !== undefined) args[name] = values[at]; });
		return send(options.object, options.method, args).then(reply => {
			const call = `RPC call to ${options.object}/${options.method} failed with`;
			if (reply.error)
				throw new Error(`${call} error ${reply.error.code}: ${reply.error.message}`);
			if (options.reject && reply.result[0] != 0)
				throw new Error(`${call} ubus code ${reply.result[0]}`);
			let value = reply.result.length > 1 ? reply.result[1] : reply.result[0];
			for (const key in options.expect ?? {}) {
				if (value != null && key != '')
					value = value[key];
				if (value == null || typeOf(value) != typeOf(options.expect[key]))
					value = options.expect[key];
			}
			return value;
		});
	}
}, 'rpc');

const polled = [];
const poll = strict({ add(action) { polled.push(action); return true; } }, 'poll');
/* Tests say when it is time. */
window.__poll = () => Promise.all(polled.map(action => action()));

const ui = strict({
	createHandlerFn(context, action, ...args) {
		return event => {
			const button = event.currentTarget;
			button.disabled = true;
			return Promise.resolve((typeof action == 'string' ? context[action] : action).call(context, ...args, event)).finally(() => { button.disabled = false; });
		};
	},
	showModal(title, children, ...classes) {
		const modal = document.querySelector('#modal_overlay .modal');
		modal.className = [ 'modal', ...classes ].join(' ');
		dom.content(modal, [ E('h4', {}, [ title ]) ]);
		put(modal, children);
		document.body.classList.add('modal-overlay-active');
		return modal;
	},
	hideModal() {
		document.body.classList.remove('modal-overlay-active');
		document.querySelector('#modal_overlay .modal').replaceChildren();
	},
	addNotification(title, children, ...classes) {
		const note = E('div', { 'class': [ 'alert-message', ...classes ].join(' ') });
		put(note, children);
		document.querySelector('#maincontent').prepend(note);
		return note;
	}
}, 'ui');

const NAMES = { 2: 'InvalidArgumentError', 4: 'NotFoundError', 6: 'PermissionError' };
const file = (method, args, pick) => send('file', method, args).then(reply => {
	const code = reply.error ? reply.error.code : reply.result[0];
	if (code != 0)
		throw Object.assign(new Error(NAMES[code] ?? `${code}`), { name: NAMES[code] ?? 'RPCError' });
	return pick(reply.result[1]);
});
const fs = strict({
	exec: (command, params) => file('exec', { command, params }, reply => ({ code: -1, ...reply })),
	read: path => file('read', { path }, reply => reply.data),
	write: (path, data) => file('write', { path, data }, () => 0)
}, 'fs');

/* Like LuCI's: what is set here is seen here at once, and told to the router by save(). */
const loaded = {};
let changes = [];
const listOf = name => loaded[name] ?? [];
const find = (name, section) => listOf(name).find(found => found['.name'] == section);
const uci = strict({
	load: name => loaded[name] ? Promise.resolve() : send('uci', 'get', { config: name }).then(reply => {
		loaded[name] = Object.values(reply.result?.[1]?.values ?? {}).sort((a, b) => a['.index'] - b['.index']);
	}),
	unload: name => { delete loaded[name]; },
	sections: (name, type) => listOf(name).filter(section => !type || section['.type'] == type),
	get: (name, section, option) => { const found = find(name, section); return option == null ? found ?? null : found?.[option] ?? null; },
	set(name, section, option, value) {
		find(name, section)[option] = value;
		changes.push([ 'set', { config: name, section, values: { [option]: value } } ]);
	},
	unset(name, section, option) {
		if (find(name, section)?.[option] == null)
			return;
		delete find(name, section)[option];
		changes.push([ 'delete', { config: name, section, options: [ option ] } ]);
	},
	add(name, type, section) {
		listOf(name).push({ '.name': section, '.type': type });
		changes.push([ 'add', { config: name, type, name: section } ]);
		return section;
	},
	remove(name, section) {
		loaded[name] = listOf(name).filter(found => found['.name'] != section);
		changes.push([ 'delete', { config: name, section } ]);
	},
	async save() {
		const told = changes;
		changes = [];
		for (const [ method, args ] of told)
			await send('uci', method, args);
	}
}, 'uci');

const networkOf = found => strict({
	getName: () => found.interface,
	getGatewayAddr: () => found.route.find(route => route.target == '0.0.0.0')?.nexthop,
	getGateway6Addr: () => found.route.find(route => route.target == '::')?.nexthop
}, 'network');
const network = strict({
	getNetworks: () => send('network.interface', 'dump', {}).then(reply => (reply.result?.[1]?.interface ?? []).map(networkOf))
}, 'network');

const view = { extend: members => Base.extend({ load() {}, handleSave: undefined, ...members }) };
const modules = { baseclass: { extend: members => Base.extend(members) }, view, rpc, poll, ui, dom, fs, uci, network };
const L = window.L = strict({
	url: (...parts) => `/cgi-bin/luci/${parts.join('/')}`,
	hasViewPermission: () => env.mayWrite,
	resolveDefault: (promise, fallback) => Promise.resolve(promise).catch(() => fallback),
	async require(name) {
		return modules[name] ??= await fetchModule(name);
	}
}, 'L');

/* Reads the leading string directives only, as LuCI does. */
async function fetchModule(name) {
	const source = await (await fetch(`/luci-static/resources/${name.replace(/\./g, '/')}.js`)).text();
	const needed = [];
	for (const line of source.split('\n')) {
		const directive = /^'require (\S+?)(?: as ([A-Za-z_]\w*))?';$/.exec(line);
		if (directive)
			needed.push([ directive[1], directive[2] ?? directive[1].replace(/\W/g, '_') ]);
		else if (line.trim() && line != "'use strict';")
			break;
	}
	const instances = [];
	for (const [ module ] of needed)
		instances.push(await L.require(module));
	const Class = new Function('window', 'document', 'L', ...needed.map(([ , alias ]) => alias), `${source}\n//# sourceURL=${name}.js`)(window, document, L, ...instances);
	return new Class();
}

window.__standin = { strict, Base, E, dom, ui, uci, network, modules };
window.__start = async () => {
	try {
		const page = await L.require(env.view);
		const node = await page.render(await page.load());
		dom.content(document.querySelector('#view'), node);
		const canSave = page.handleSave !== null && env.mayWrite;
		if (canSave)
			document.querySelector('#view').append(E('div', { 'class': 'cbi-page-actions' }, [ E('button', { 'class': 'cbi-button cbi-button-save', 'click': () =>
				(page.handleSave ? Promise.resolve(page.handleSave()) : window.__standin.saveAll()).catch(error => ui.addNotification(null, E('p', {}, [ error.message ]), 'danger')) }, [ 'Save' ]) ]));
		document.body.dataset.ready = '1';
	} catch (error) {
		document.body.dataset.error = error.message;
		console.error(error.stack);
	}
};
})();
