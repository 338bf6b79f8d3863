// The pages' modules without DOM: the very files LuCI loads.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { APP } from './server.mjs';

export const RESOURCES = join(APP, 'htdocs/luci-static/resources');

String.prototype.format ??= function(...values) {
  return this.replace(/%%|%(\.\d+)?([sdf])/g, (found, precision, kind) => {
    if (found == '%%')
      return '%';
    const value = values.shift();
    return kind == 's' ? String(value) : kind == 'd' ? String(Math.trunc(value)) : (+value).toFixed(+precision.slice(1));
  });
};

export function directives(source) {
  const found = [];
  for (const line of source.split('\n')) {
    const match = /^'require (\S+?)(?: as (\w+))?';$/.exec(line);
    if (match)
      found.push([ match[1], match[2] ?? match[1].replace(/\W/g, '_') ]);
    else if (line.trim() && line != "'use strict';")
      break;
  }
  return found;
}

/* `others` stand for LuCI's own modules. */
export function load(name, others = {}) {
  const source = readFileSync(join(RESOURCES, `${name.replace(/\./g, '/')}.js`), 'utf8');
  const needed = directives(source);
  const known = { baseclass: { extend: members => members }, ...others };
  const make = new Function('L', '_', 'N_', ...needed.map(([ , alias ]) => alias), source);
  return make({}, text => text, (count, one, many) => count == 1 ? one : many, ...needed.map(([ module ]) => known[module] ?? load(module)));
}
