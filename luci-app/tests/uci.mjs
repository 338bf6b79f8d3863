// A UCI store good enough for a router that is not there: reads files, keeps what rpcd's uci object would be told.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function parse(text) {
  const sections = [];
  for (const line of text.split('\n')) {
    const words = [ ...line.matchAll(/'((?:[^']|'\\'')*)'|"([^"]*)"|([^\s'"]+)/g) ].map(match => match[1] ?? match[2] ?? match[3]);
    if (!words.length || words[0][0] == '#')
      continue;
    const last = sections[sections.length - 1];
    if (words[0] == 'config')
      sections.push({ '.anonymous': words[2] == null, '.type': words[1], '.name': words[2] ?? `cfg${sections.length.toString(16).padStart(6, '0')}` });
    else if (words[0] == 'option')
      last[words[1]] = words[2] ?? '';
    else if (words[0] == 'list')
      last[words[1]] = [ ...(last[words[1]] ?? []), words[2] ?? '' ];
  }
  return sections;
}

export function format(sections) {
  const quote = value => `'${`${value}`.replace(/'/g, `'\\''`)}'`;
  return sections.map(section => [ `config ${section['.type']} ${quote(section['.name'])}`,
    ...Object.entries(section).filter(([ key ]) => key[0] != '.').flatMap(([ key, value ]) => Array.isArray(value)
      ? value.map(item => `\tlist ${key} ${quote(item)}`) : [ `\toption ${key} ${quote(value)}` ]) ].join('\n')).join('\n\n') + '\n';
}

/* `told` is the list of what the page asked for, as `uci changes` would put it. */
export class Store {
  constructor(folder) {
    this.folder = folder;
    this.packages = {};
    this.told = [];
  }

  sections(name) {
    const file = join(this.folder, name);
    return this.packages[name] ??= existsSync(file) ? parse(readFileSync(file, 'utf8')) : [];
  }

  call(method, args) {
    const sections = args.config ? this.sections(args.config) : null;
    const at = sections?.findIndex(section => section['.name'] == args.section);
    switch (method) {
    case 'get':
      return { values: Object.fromEntries(sections.map((section, index) => [ section['.name'], { ...section, '.index': index } ])) };
    case 'changes':
      return { changes: {} };
    case 'add':
      sections.push({ '.anonymous': !args.name, '.type': args.type, '.name': args.name ?? `cfg${Date.now() % 1000000}`, ...args.values });
      this.told.push([ 'add', args.name, args.type, args.values ?? {} ]);
      return { section: args.name };
    case 'set':
      Object.assign(sections[at], args.values);
      this.told.push([ 'set', args.section, args.values ]);
      return {};
    case 'delete':
      if (args.options)
        args.options.forEach(option => delete sections[at][option]);
      else
        sections.splice(at, 1);
      this.told.push([ 'delete', args.section, ...(args.options ? [ args.options ] : []) ]);
      return {};
    case 'order':
      sections.sort((a, b) => args.sections.indexOf(a['.name']) - args.sections.indexOf(b['.name']));
      this.told.push([ 'order', args.sections ]);
      return {};
    case 'apply':
      for (const name in this.packages)
        writeFileSync(join(this.folder, name), format(this.packages[name]));
      this.told.push([ 'apply' ]);
      return {};
    default:
      return {};
    }
  }
}
