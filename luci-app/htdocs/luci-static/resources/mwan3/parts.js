'use strict';
'require baseclass';
'require mwan3.model as model';

/* Pieces of the pages. A bare string child of E() is markup, one in a list is text: lists throughout. */

const CSS = `
.mwan3{--m-good:var(--success-color-medium,#2a9d4a);--m-bad:var(--error-color-medium,#c8281e);--m-warn:var(--warn-color-medium,#d8930a);
--m-note:rgba(127,127,127,.55);--m-line:var(--border-color-medium,rgba(127,127,127,.35));--m-soft:rgba(127,127,127,.12);
--m-blue:var(--primary-color-medium,#0069b4)}
.mwan3 h3{margin-top:1.6rem}
.mwan3-good{--m:var(--m-good)}.mwan3-bad{--m:var(--m-bad)}.mwan3-warn{--m:var(--m-warn)}.mwan3-off,.mwan3-note{--m:var(--m-note)}
.mwan3-head{display:flex;flex-wrap:wrap;align-items:baseline;gap:.3rem 1rem}.mwan3-head>p{margin:0;opacity:.85}
.mwan3-dot{display:inline-block;width:.65em;height:.65em;border-radius:50%;background:var(--m);margin-right:.45em;flex:none}
.mwan3-problem{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1rem;border:1px solid var(--m-line);border-left:.35rem solid var(--m);
border-radius:.3rem;padding:.55rem .8rem;margin:.4rem 0;background:var(--m-soft)}
.mwan3-problem>div{flex:1 1 18rem;min-width:0;overflow-wrap:anywhere}.mwan3-problem strong{margin-right:.5em}
.mwan3 details>summary{cursor:pointer;padding:.3rem 0}
.mwan3-cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:.9rem;margin-bottom:1rem}
.mwan3-card{border:1px solid var(--m-line);border-top:.3rem solid var(--m);border-radius:.35rem;padding:.7rem .9rem .8rem;display:flex;flex-direction:column;min-width:0}
.mwan3-card.mwan3-off{opacity:.6}
.mwan3-card header{all:unset;display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:0 .6rem}
.mwan3-card h4{margin:0;font-size:1.15rem;overflow-wrap:anywhere}
.mwan3-state{font-weight:600;white-space:nowrap}.mwan3-state small{font-weight:400;opacity:.8}
.mwan3-spark{display:block;width:100%;height:3.2rem;margin:.5rem 0 .1rem;background:var(--m-soft);border-radius:.2rem;color:var(--m-blue)}
.mwan3-empty{display:flex;align-items:center;justify-content:center;font-size:85%;opacity:.7}
.mwan3-scale{display:flex;justify-content:space-between;font-size:80%;opacity:.75;margin-bottom:.4rem}
.mwan3-facts{display:grid;grid-template-columns:auto 1fr;gap:.1rem .8rem;margin:0 0 .6rem;font-size:92%}
.mwan3-facts dt{font-weight:400;opacity:.7}.mwan3-facts dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.mwan3-card footer{all:unset;display:flex;gap:.5rem;justify-content:flex-end;margin-top:auto}
.mwan3-bars{display:grid;gap:.3rem;min-width:12rem}
.mwan3-bar{display:flex;height:1.5rem;border-radius:.25rem;overflow:hidden;background:var(--m-soft);font-size:85%;line-height:1.5rem}
.mwan3-bar>span{color:#fff;text-align:center;overflow:hidden;white-space:nowrap;text-overflow:ellipsis;background:var(--c)}
.mwan3-bar.mwan3-thin{height:.4rem}.mwan3-bar.mwan3-thin>span{opacity:.55}
.mwan3-bar>em{flex:1;text-align:center;font-style:normal;opacity:.85;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.mwan3-legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:88%}.mwan3-legend i{display:inline-block;width:.7em;height:.7em;border-radius:.15em;background:var(--c);margin-right:.35em}
.mwan3-legend .mwan3-idle{opacity:.6}
.mwan3-quiet td{opacity:.55}
.mwan3 table.table td{overflow-wrap:anywhere}.mwan3 .mwan3-num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.mwan3-badge{display:inline-flex;align-items:center;white-space:nowrap}
.mwan3-ask{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr)) ;gap:.6rem;align-items:end}
.mwan3-ask label{display:block;font-size:88%;min-width:0}.mwan3-ask input,.mwan3-ask select{width:100%;max-width:none;min-width:0;box-sizing:border-box;margin:0}
.mwan3-answer{border:1px solid var(--m-line);border-left:.35rem solid var(--m);border-radius:.3rem;padding:.7rem .9rem;margin-top:.8rem}
.mwan3-answer>strong{font-size:110%}.mwan3-answer .mwan3-facts{grid-template-columns:max-content 1fr;margin:.5rem 0}.mwan3-answer dd{text-align:left}
.mwan3-answer ul{margin:.4rem 0 0 1.2rem;padding:0}.mwan3-answer li{margin:.15rem 0;color:inherit}.mwan3-answer details{opacity:.75}
.mwan3 pre{overflow:auto;max-height:32rem;white-space:pre;font-size:85%}
.mwan3-copy{float:right}
.mwan3-absent .mwan3-part{display:none}
.mwan3 .cbi-section-remove{float:right;margin-top:.4rem}.mwan3-policy small{margin-left:.8em;font-weight:400;opacity:.75;color:inherit}
.mwan3-preview{margin:.5rem 0;padding:.4rem .7rem;border-left:.25rem solid var(--m-line);font-size:92%}
.mwan3-hint{opacity:.75;font-size:92%;margin:.2rem 0 .6rem}
@media (max-width:600px){.mwan3-cards{grid-template-columns:1fr}.mwan3-bars{min-width:0;width:100%}.mwan3 .mwan3-num{text-align:left}}
`;

/* One colour for each uplink, told apart also by those who see red and green alike. */
const COLOURS = [ '#2f6fb5', '#b8651b', '#4d8b57', '#8a4fa3', '#a8434f', '#3b8f96', '#7a6a2c', '#5c5f9c' ];

const SVG = 'http://www.w3.org/2000/svg';

function svg(name, attributes, children) {
	const node = document.createElementNS(SVG, name);
	for (const key in attributes)
		node.setAttribute(key, attributes[key]);
	(children ?? []).forEach(child => node.appendChild(child));
	return node;
}

return baseclass.extend({
	style() {
		return E('style', {}, [ CSS ]);
	},

	colour(position) {
		return COLOURS[position % COLOURS.length];
	},

	dot(kind) {
		return E('span', { 'class': `mwan3-dot mwan3-${kind}` });
	},

	badge(kind, text) {
		return E('span', { 'class': 'mwan3-badge' }, [ this.dot(kind), text ]);
	},

	/* Cells are nodes or text. On a phone LuCI's themes put the titles beside the cells. */
	table(titles, rows, placeholder) {
		const cell = (content, at) => E('td', { 'class': titles[at].number ? 'td mwan3-num' : 'td', 'data-title': titles[at].text || null },
			[ content ]);
		const body = rows.map(row => E('tr', { 'class': row.quiet ? 'tr mwan3-quiet' : 'tr', 'data-row': row.id }, row.cells.map(cell)));
		if (!rows.length)
			body.push(E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td', 'colspan': titles.length }, [ E('em', {}, [ placeholder ]) ]) ]));
		return E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': title.number ? 'th mwan3-num' : 'th' }, [ title.text ]))),
			...body
		]);
	},

	sparkline(history) {
		if (!history.length)
			return E('div', { 'class': 'mwan3-spark mwan3-empty' }, [ _('no probes yet') ]);
		const width = 256, height = 48, drawn = model.spark(history, width, height);
		const mark = x => svg('rect', { x: (x - drawn.step / 2).toFixed(1), y: 0, width: drawn.step.toFixed(1), height,
			fill: 'var(--m-bad)', 'fill-opacity': '.45' });
		const stroke = { fill: 'none', stroke: 'currentColor', 'stroke-width': 1.6, 'vector-effect': 'non-scaling-stroke', 'stroke-linejoin': 'round' };
		const line = points => points.length == 1
			? svg('circle', { cx: points[0][0], cy: points[0][1], r: 1.5, fill: 'currentColor' })
			: svg('polyline', { points: points.map(point => point.join(',')).join(' '), ...stroke });
		return svg('svg', { 'class': 'mwan3-spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img',
			'aria-label': _('Round trips of the latest probes') }, drawn.losses.map(mark).concat(drawn.lines.map(line)));
	},

	facts(pairs) {
		return E('dl', { 'class': 'mwan3-facts' }, pairs.filter(pair => pair[1] != null).flatMap(([ name, value, title ]) => [
			E('dt', {}, [ name ]), E('dd', { 'title': title ?? null }, [ value ]) ]));
	},

	/* The head of an uplink's card and, where there are probes, the picture of its latest rounds. */
	card(uplink, history, details, buttons) {
		const state = model.stateOf(uplink);
		const seen = model.statistics(history);
		return E('div', { 'class': `mwan3-card mwan3-${state.kind}`, 'data-uplink': uplink.name }, [
			E('header', {}, [
				E('h4', {}, [ uplink.name ]),
				E('span', { 'class': 'mwan3-state' }, [ this.dot(state.kind), state.word,
					state.since > 0 ? E('small', {}, [ ` ${model.duration(state.since)}` ]) : '' ])
			]),
			...(uplink.targets > 0 && uplink.enabled ? [ this.sparkline(history), E('div', { 'class': 'mwan3-scale' }, [
				E('span', {}, [ seen.mean == null ? '' : _('mean %s, max %s').format(model.roundTrip(seen.mean), model.roundTrip(seen.max)) ]),
				E('span', {}, [ seen.loss == null ? '' : _('loss %s').format(model.percent(seen.loss)) ])
			]) ] : []),
			details ?? '',
			buttons?.length ? E('footer', {}, [ ...buttons ]) : ''
		]);
	},

	/* Parts of a whole: [ { name, share (permille), colour } ] */
	bar(parts, isThin, emptyText) {
		const shown = parts.filter(part => part.share > 0);
		return E('div', { 'class': isThin ? 'mwan3-bar mwan3-thin' : 'mwan3-bar' }, shown.length
			? shown.map(part => E('span', { 'style': `width:${part.share / 10}%;--c:${part.colour}`, 'title': `${part.name} ${model.percent(part.share)}` },
				[ isThin ? '' : `${part.name} ${model.percent(part.share)}` ]))
			: [ E('em', {}, [ isThin ? '' : emptyText ?? '' ]) ]);
	}
});
