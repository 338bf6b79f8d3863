// Packaging, rights and house rules of the pages: what can be seen without running them.
import test from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { APP, acl, grants, menu } from './server.mjs';
import { RESOURCES, directives } from './modules.mjs';

const walk = folder => readdirSync(folder).flatMap(name => statSync(join(folder, name)).isDirectory() ? walk(join(folder, name)) : [ join(folder, name) ]);
const scripts = walk(RESOURCES).filter(file => file.endsWith('.js'));
const nameOf = file => relative(RESOURCES, file);
const views = Object.entries(menu()).filter(([ , node ]) => node.action.type == 'view').map(([ path, node ]) => [ path, `view/${node.action.path}.js` ]);
const groupsOf = path => path.split('/').flatMap((_, at, words) => menu()[words.slice(0, at + 1).join('/')]?.depends?.acl ?? []);

/* The source of a page and of every module of ours that it pulls in. */
function withModules(name, seen = new Set()) {
  const file = join(RESOURCES, name);
  if (seen.has(name) || !existsSync(file))
    return '';
  seen.add(name);
  const source = readFileSync(file, 'utf8');
  return source + directives(source).map(([ module ]) => withModules(`${module.replace(/\./g, '/')}.js`, seen)).join('\n');
}

const matches = (text, pattern) => [ ...text.matchAll(pattern) ];
const calls = source => matches(source, /object: '([^']+)', method: '([^']+)'/g).map(found => `${found[1]}.${found[2]}`);

test('every menu entry leads to a page, and every page is in the menu', () => {
  for (const [ path, file ] of views)
    assert.ok(existsSync(join(RESOURCES, file)), `${path}: no ${file}`);
  const reached = new Set(views.map(([ , file ]) => file));
  const lost = scripts.map(nameOf).filter(name => name.startsWith('view/mwan3/') && !reached.has(name));
  assert.deepEqual(lost, []);
});

test('every group a menu entry wants is there', () => {
  for (const path in menu())
    for (const group of groupsOf(path))
      assert.ok(acl()[group], `${path} wants ${group}`);
});

test('what a page asks for is granted by its own group', () => {
  for (const [ path, file ] of views) {
    const source = withModules(file), granted = grants(groupsOf(path), [ 'read', 'write' ]), read = grants(groupsOf(path), [ 'read' ]);
    for (const call of calls(source))
      assert.ok(granted.ubus.has(call), `${path} calls ${call}`);
    for (const [ , name ] of matches(source, /uci\.load\('(\w+)'\)/g))
      assert.ok(read.read.has(name), `${path} loads ${name}`);
    const verbs = { exec: /fs\.exec\(/, read: /fs\.read\(/, write: /fs\.write\(/ };
    for (const verb in verbs)
      if (verbs[verb].test(source))
        assert.ok(granted.ubus.has(`file.${verb}`), `${path} needs file.${verb}`);
  }
});

test('a login that may only look is granted everything that only looks, and nothing that acts', () => {
  for (const [ name, group ] of Object.entries(acl())) {
    const looking = (group.read.ubus.mwan3 ?? []);
    assert.ok(!looking.includes('test'), `${name}: test acts`);
    for (const line of Object.keys(group.read.file ?? {}))
      assert.match(line, /^\/usr\/sbin\/mwan3 (status|check|internal)\b|^\/etc\/mwan3\.user$/, `${name} may run or read ${line}`);
  }
});

test('nothing is granted that no page uses', () => {
  const everything = scripts.map(file => readFileSync(file, 'utf8')).join('\n'), used = new Set(calls(everything));
  for (const group of Object.values(acl()))
    for (const half of [ group.read, group.write ])
      for (const method of half.ubus?.mwan3 ?? [])
        // The shell package's method: for dashboards and older pages.
        assert.ok(used.has(`mwan3.${method}`) || method == 'status', `${method} is granted for nothing`);
});

test('commands are granted word for word', () => {
  for (const group of Object.values(acl()))
    for (const half of [ group.read, group.write ])
      for (const [ line, verbs ] of Object.entries(half.file ?? {}))
        assert.ok(!line.includes('*') && verbs.length == 1, line);
});

/* The arguments of each call of `name`, as texts. */
function argumentsOf(source, name) {
  const found = [];
  for (let at = source.indexOf(`${name}(`); at >= 0; at = source.indexOf(`${name}(`, at + 1)) {
    if (/[\w.]/.test(source[at - 1] ?? ' '))
      continue;
    const args = [ '' ];
    let depth = 0, quote = null;
    for (let position = at + name.length + 1; position < source.length; position++) {
      const letter = source[position];
      if (quote) {
        if (letter == '\\')
          args[args.length - 1] += source[position++];
        else if (letter == quote)
          quote = null;
      } else if ('\'"`'.includes(letter))
        quote = letter;
      else if ('([{'.includes(letter))
        depth++;
      else if (')]}'.includes(letter) && depth-- == 0)
        break;
      if (letter == ',' && depth == 0 && !quote)
        args.push('');
      else
        args[args.length - 1] += source[position];
    }
    found.push(args.map(text => text.trim()));
  }
  return found;
}

/* What is left when the insides of brackets are gone. */
function outline(text) {
  let shape = '', depth = 0, quote = null;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (quote) {
      if (letter == '\\')
        at++;
      else if (letter == quote)
        quote = null;
    } else if ('\'"`'.includes(letter)) {
      quote = letter;
      if (!depth)
        shape += '"';
    } else {
      if (')]}'.includes(letter))
        depth--;
      if (!depth)
        shape += letter;
      if ('([{'.includes(letter))
        depth++;
    }
  }
  return shape;
}

/* A list, a choice between lists, or what .map() and its like give; `this.render…()` gives lists or nodes. */
const isList = text => /(\[\]|(map|flatMap|concat)\(\)|^[\w.]*\brender\w*\(\)|^rows)$/.test(outline(text).replace(/\s+/g, ''));

test('no child of an element is a bare string, which LuCI would take for markup', () => {
  for (const file of scripts) {
    const source = readFileSync(file, 'utf8');
    for (const args of argumentsOf(source, 'E').filter(args => args.length > 2))
      assert.ok(isList(args.slice(2).join(',')), `${nameOf(file)}: E(${args.join(', ').slice(0, 120)})`);
    for (const args of argumentsOf(source, 'dom.content'))
      assert.ok(isList(args.slice(1).join(',')), `${nameOf(file)}: dom.content(${args.join(', ').slice(0, 120)})`);
    assert.ok(!/innerHTML|insertAdjacentHTML|document\.write|E\('</.test(source), `${nameOf(file)} writes markup`);
  }
});

test('the rule finds a bare string', () => {
  for (const bad of [ "E('td', {}, name)", "E('td', {}, _('Name'))", "E('td', {}, `a${b}`)", "E('td', {}, ok ? [ 'a' ] : name)" ])
    assert.ok(!isList(argumentsOf(bad, 'E')[0].slice(2).join(',')), bad);
  for (const good of [ "E('td', {}, [ name ])", "E('ul', {}, list.map(x => E('li', {}, [ x ])))", "E('p', {}, is ? [ a ] : [ b ])" ])
    assert.ok(isList(argumentsOf(good, 'E')[0].slice(2).join(',')), good);
});

test('nothing is loaded from elsewhere', () => {
  for (const file of scripts)
    assert.ok(!/https?:\/\/(?!www\.w3\.org\/2000\/svg)/.test(readFileSync(file, 'utf8').replace(/_\("[^"]*"\)/g, '')), nameOf(file));
});

test('the Makefile builds in the feed and beside it', () => {
  const makefile = readFileSync(join(APP, 'Makefile'), 'utf8');
  for (const line of [ 'LUCI_NAME:=luci-app-mwan3', 'include ../../luci.mk', 'include $(TOPDIR)/feeds/luci/luci.mk', '# call BuildPackage - OpenWrt buildroot signature' ])
    assert.ok(makefile.includes(line), line);
});
