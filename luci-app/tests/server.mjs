// A router's web server for tests: serves this app, enforces its own access lists as rpcd does, and hands calls
// of mwan3 to `backend(object, method, args)`. With LUCI_SOURCES=FOLDER the pages run in a real LuCI's
// client (its modules/luci-base and themes/luci-theme-bootstrap), else in the stand-in.
import http from 'node:http';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Store } from './uci.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
export const APP = join(HERE, '..');
export const LUCI = process.env.LUCI_SOURCES;
const RESOURCES = '/luci-static/resources';
const TYPES = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', png: 'image/png', gif: 'image/gif' };
const DENIED = { code: -32002, message: 'Access denied' };
const ABSENT = { code: -32000, message: 'Object not found' };

const readJson = folder => readdirSync(folder).map(file => JSON.parse(readFileSync(join(folder, file), 'utf8'))).reduce((all, one) => Object.assign(all, one), {});
export const menu = () => readJson(join(APP, 'root/usr/share/luci/menu.d'));
export const acl = () => readJson(join(APP, 'root/usr/share/rpcd/acl.d'));

/* What a login may do: { ubus: Set('object.method'), uci: { read: Set, write: Set }, file: Map(path -> Set) } */
export function grants(groups, rights) {
  const granted = { ubus: new Set(), read: new Set(), write: new Set(), file: new Map() };
  for (const group of groups)
    for (const right of rights) {
      const half = acl()[group]?.[right] ?? {};
      for (const [ object, methods ] of Object.entries(half.ubus ?? {}))
        methods.forEach(method => granted.ubus.add(`${object}.${method}`));
      (half.uci ?? []).forEach(name => granted[right].add(name));
      for (const [ path, verbs ] of Object.entries(half.file ?? {}))
        granted.file.set(path, new Set([ ...(granted.file.get(path) ?? []), ...verbs ]));
    }
  return granted;
}

export async function serve({ page, view, backend, configFolder, files = {}, mayWrite = true, isAbsent = false, groups, networks = [] }) {
  const nodes = menu(), node = nodes[page] ?? { action: { path: view } };
  const parents = page.split('/').map((_, at, words) => nodes[words.slice(0, at + 1).join('/')]);
  const own = groups ?? [ ...new Set(parents.flatMap(parent => parent?.depends?.acl ?? [])) ];
  const router = { backend, store: new Store(configFolder), files, isAbsent, networks, calls: [], refused: [],
    granted: grants(own, mayWrite ? [ 'read', 'write' ] : [ 'read' ]) };
  const server = http.createServer((request, response) => {
    const path = request.url.split('?')[0];
    if (path.startsWith('/ubus'))
      return receive(request).then(body => answerAll(router, body)).then(text => { response.setHeader('content-type', 'application/json'); response.end(text); })
        .catch(error => { response.statusCode = 500; response.end(error.stack); });
    const file = fileFor(path);
    if (file) {
      response.setHeader('content-type', `${TYPES[file.split('.').pop()] ?? 'text/plain'}; charset=utf-8`);
      return response.end(readFileSync(file));
    }
    if (path.endsWith('/admin/menu') || path.includes('/admin/translations')) {
      response.setHeader('content-type', path.endsWith('menu') ? 'application/json' : 'text/javascript');
      return response.end(path.endsWith('menu') ? JSON.stringify(menuTree(nodes, mayWrite)) : '');
    }
    if (path == '/favicon.ico') {
      response.statusCode = 204;
      return response.end();
    }
    if (path.startsWith('/luci-static/') || !path.startsWith('/cgi-bin/luci')) {
      response.statusCode = 404;
      return response.end();
    }
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end((LUCI ? realPage : standinPage)(page, node, mayWrite));
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  // A test that forgets us must not hold up the run.
  server.unref();
  return { ...router, url: `http://127.0.0.1:${server.address().port}/cgi-bin/luci/${page}`,
    close: () => { server.close(); server.closeAllConnections(); } };
}

function receive(request) {
  return new Promise(resolve => { let body = ''; request.on('data', data => { body += data; }).on('end', () => resolve(body)); });
}

function fileFor(path) {
  const places = path.startsWith('/standin/') ? [ join(HERE, normalize(path)) ]
    : [ join(APP, 'htdocs', normalize(path)), ...(LUCI ? [ 'modules/luci-base/htdocs', 'themes/luci-theme-bootstrap/htdocs', 'modules/luci-mod-status/htdocs' ].map(part => join(LUCI, part, normalize(path))) : []) ];
  return path.includes('.') ? places.find(existsSync) : null;
}

/* uhttpd answers one request or a list of them, each on its own. */
async function answerAll(router, body) {
  const asked = JSON.parse(body);
  const replies = [];
  for (const message of Array.isArray(asked) ? asked : [ asked ])
    replies.push({ jsonrpc: '2.0', id: message.id, ...await answer(router, message) });
  return JSON.stringify(Array.isArray(asked) ? replies : replies[0]);
}

async function answer(router, message) {
  if (message.method == 'list')
    return { result: {} };
  const [ , object, method, args ] = message.params;
  router.calls.push({ object, method, args });
  const { granted } = router;
  if (object == 'uci')
    return answerUci(router, method, args);
  if (object == 'file')
    return answerFile(router, method, args);
  if (object == 'session' && method == 'access')
    return { result: [ 0, { access: args.scope == 'uci' ? granted[args.function]?.has(args.object) : granted.ubus.has(`${args.object}.${args.function}`) } ] };
  if (object != 'mwan3')
    return { result: foreign(router, object, method) };
  if (router.isAbsent)
    return { error: ABSENT };
  if (!granted.ubus.has(`${object}.${method}`)) {
    router.refused.push(`${object}.${method}`);
    return { error: DENIED };
  }
  const reply = await router.backend(object, method, { ...args, ubus_rpc_session: '0123456789abcdef0123456789abcdef' });
  return { result: typeof reply == 'number' ? [ reply ] : [ 0, reply ] };
}

function answerUci({ granted, store, refused }, method, args) {
  const isReading = [ 'get', 'changes' ].includes(method), isOver = [ 'apply', 'confirm', 'revert' ].includes(method);
  const isFree = isOver || method == 'changes' || [ 'luci', 'wireless' ].includes(args.config);
  if (!isFree && !granted[isReading ? 'read' : 'write'].has(args.config)) {
    refused.push(`uci ${method} ${args.config}`);
    return { result: [ 6 ] };
  }
  return { result: [ 0, store.call(method, args) ] };
}

function answerFile({ granted, files, refused, backend }, method, args) {
  const line = [ args.path ?? args.command, ...(args.params ?? []) ].join(' ');
  const verb = { exec: 'exec', read: 'read', write: 'write', stat: 'read' }[method] ?? 'list';
  if (method == 'list')
    return { result: [ 0, { entries: [] } ] };
  if (!granted.ubus.has(`file.${method}`) || !granted.file.get(line)?.has(verb)) {
    refused.push(`file ${method} ${line}`);
    return { error: granted.ubus.has(`file.${method}`) ? undefined : DENIED, result: granted.ubus.has(`file.${method}`) ? [ 6 ] : undefined };
  }
  if (method == 'exec')
    return Promise.resolve(backend('exec', line, args)).then(reply => ({ result: reply == null ? [ 4 ] : [ 0, reply ] }));
  if (method == 'write') {
    files[args.path] = args.data;
    return { result: [ 0 ] };
  }
  return { result: files[args.path] == null ? [ 4 ] : [ 0, method == 'read' ? { data: files[args.path] } : {} ] };
}

/* What LuCI's own modules ask of the rest of the router. */
function foreign({ networks }, object, method) {
  const replies = {
    'network.interface.dump': { interface: networks },
    'network.get_proto_handlers': { static: {}, dhcp: {} },
    'luci-rpc.getNetworkDevices': Object.fromEntries(networks.filter(network => network.device).map(network => [ network.device, { name: network.device, up: true, type: 1, flags: {}, stats: {}, devtype: 'ethernet' } ])),
    'luci-rpc.getWirelessDevices': {}, 'luci-rpc.getBoardJSON': {}, 'luci-rpc.getHostHints': {},
    'luci.getFeatures': { ipv6: true }
  };
  const reply = replies[`${object}.${method}`];
  return reply == null ? [ 4 ] : [ 0, reply ];
}

function menuTree(nodes, mayWrite) {
  const tree = { title: '', satisfied: true, children: {} };
  const titles = { admin: [ 'Administration', 1 ], 'admin/status': [ 'Status', 10 ], 'admin/network': [ 'Network', 50 ] };
  for (const path of [ ...Object.keys(titles), ...Object.keys(nodes) ]) {
    let at = tree;
    for (const word of path.split('/'))
      at = (at.children ??= {})[word] ??= { satisfied: true, readonly: !mayWrite };
    const [ title, order ] = titles[path] ?? [ nodes[path].title, nodes[path].order ];
    Object.assign(at, { title, order, action: nodes[path]?.action ?? { type: 'firstchild' } });
  }
  return tree;
}

function standinPage(page, node, mayWrite) {
  const env = { sessionid: 's', mayWrite, view: `view.${node.action.path.replace(/\//g, '.')}`, page };
  const tabs = Object.entries(menu()).filter(([ path ]) => path.startsWith(`${page.split('/').slice(0, 3).join('/')}/`))
    .map(([ path, tab ]) => `<li class="${path == page ? 'active' : ''}"><a href="/cgi-bin/luci/${path}">${tab.title}</a></li>`).join('');
  return `<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>stand-in</title>
<link rel="stylesheet" href="/standin/theme.css"></head><body><header><b>stand-in</b></header><div id="maincontent"><ul class="tabs">${tabs}</ul><div id="view"></div></div>
<div id="modal_overlay"><div class="modal"></div></div><script>window.__env=${JSON.stringify(env)}</script><script src="/standin/runtime.js"></script><script src="/standin/form.js"></script>
<script>window.__start()</script></body></html>`;
}

/* What LuCI's templates make of a page, without the parts that ask a real router. */
function realPage(page, node, mayWrite) {
  const env = { media: '/luci-static/bootstrap', resource: RESOURCES, scriptname: '/cgi-bin/luci', pathinfo: `/${page}`, documentroot: '/www', requestpath: page.split('/'),
    dispatchpath: page.split('/'), pollinterval: 5, ubuspath: '/ubus/', sessionid: '0123456789abcdef0123456789abcdef', token: 't',
    nodespec: { satisfied: true, readonly: !mayWrite, ...node }, apply_rollback: 90, apply_holdoff: 4, apply_timeout: 5, apply_display: 1.5, rollback_token: null };
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>LuCI</title>
<script>const q=matchMedia('(prefers-color-scheme: dark)');document.documentElement.setAttribute('data-darkmode',q.matches)</script>
<meta name="viewport" content="initial-scale=1.0"><link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">
<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css">
<script src="/cgi-bin/luci/admin/translations/en"></script><script src="${RESOURCES}/cbi.js"></script></head>
<body data-page="${page.replace(/\//g, '-')}"><header><a class="brand" href="/">router</a><ul class="nav" id="topmenu" style="display:none"></ul><div id="indicators" class="pull-right"></div></header>
<div id="maincontent" class="container"><div id="tabmenu" style="display:none"></div>
<script src="${RESOURCES}/promis.min.js"></script><script src="${RESOURCES}/luci.js"></script><script>L=new LuCI(${JSON.stringify(env)})</script>
<div id="view"><div class="spinning">Loading view…</div><script>L.require('ui').then(ui=>ui.instantiateView('${node.action.path}'))</script></div></div>
<footer><ul class="breadcrumb pull-right" id="modemenu" style="display:none"></ul></footer><script>L.require('menu-bootstrap')</script></body></html>`;
}
