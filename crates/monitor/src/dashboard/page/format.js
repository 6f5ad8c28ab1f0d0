'use strict';
// Names of limiters can be anything: they are only ever set as text, never as HTML.
const $ = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const make = (tag, props, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
/// Only if it is something else: what has not changed is not touched.
const put = (node, text) => { if (node && node.textContent !== String(text)) node.textContent = text; };

// ---- numbers and words
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const big = n => n >= 10000 ? short.format(n) : number.format(n >= 100 ? Math.round(n) : n);
function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 0.9995) return `${Math.max(1, Math.round(ms * 1000))} µs`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  if (s < 3570) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86400)} days`;
}
const percent = share => share === null || share === undefined ? '–'
  : share > 0 && share < 0.01 ? '<1 %' : `${Math.round(share * 100)} %`;
const seconds = ms => `${Math.ceil(ms / 1000)} s`;
const ago = ms => ms < 1000 ? 'just now' : `${duration(Math.round(ms / 1000) * 1000).replace('.0', '')} ago`;
const clock = (ms, day) => new Date(ms).toLocaleString([], { hour12: false, ...(day && { month: 'short', day: 'numeric' }), hour: '2-digit', minute: '2-digit', second: '2-digit' });
const shown = name => name.trim() ? name : name ? '(blank name)' : '(no name)';
const href = name => `/limiter?${new URLSearchParams({ name })}`;
const waits = l => l.share_waited === null ? 'no request in the last minute'
  : l.share_waited === 0 ? 'nobody waited in the last minute'
  : `${percent(l.share_waited)} waited; of those p50 ${duration(l.wait_p50_ms)}, p99 ${duration(l.wait_p99_ms)}`;
function badges(l) {
  return [l.paused && ['paused', ''], l.closed && ['closed', 'bad'],
    l.capped_by !== null && [`capped by ${l.capped_by}`, ''],
    l.would_be !== null && [`pressure would cap at ${big(l.would_be)}`, 'soft'],
    !l.closed && l.in_flight > l.ceiling && ['draining', 'soft'],
    !l.paused && !l.closed && l.in_flight === l.ceiling && ['full', l.waiting ? 'violet' : 'soft']].filter(Boolean);
}
function putBadges(node, l) {
  const want = badges(l), key = want.join('|');
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...want.map(([word, kind]) => make('span', { className: `badge ${kind}`, textContent: word })));
}
function putMeter(meter, l) {
  const scale = Math.max(l.max, l.in_flight, l.setting, 1), at = n => `${100 * n / scale}%`;
  meter.classList.toggle('full', l.in_flight >= l.ceiling && l.waiting > 0);
  for (const [name, value] of [['label', `In flight: ${shown(l.name)}`], ['valuemin', 0], ['valuemax', scale], ['valuenow', l.in_flight], ['valuetext', `${l.in_flight} of ${l.ceiling}`]]) meter.setAttribute(`aria-${name}`, value);
  meter.querySelector('.fill').style.width = at(l.in_flight);
  meter.querySelector('.cap').style.left = at(l.ceiling);
  meter.querySelector('.min').style.left = at(l.min);
}
const lastChange = l => l.last_change ? `${l.last_change.said}, ${ago(now() - l.last_change.at_ms)}` : 'no change yet';
function holds(l) {
  const left = ms => ms - (Date.now() - l.at), up = left(l.hold_up_ms), down = left(l.hold_down_ms);
  if (up <= 0 && down <= 0) return '';
  if (Math.abs(up - down) < 1000) return `held ${seconds(up)}`;
  return [up > 0 && `up held ${seconds(up)}`, down > 0 && `down held ${seconds(down)}`].filter(Boolean).join(', ');
}

// ---- where we are: all of it in the address
const RANGES = [[5, '5 min'], [15, '15 min'], [60, '1 h'], [360, '6 h'], [1440, '24 h'], [10080, '7 days']];
function place() {
  const q = new URLSearchParams(location.search), n = (name, or) => q.has(name) && Number.isFinite(+q.get(name)) ? +q.get(name) : or;
  return {
    limiter: location.pathname === '/limiter' ? q.get('name') ?? '' : null,
    q: q.get('q') ?? '', order: q.get('order') ?? 'name', reverse: q.get('reverse') === 'true',
    minutes: Math.min(10080, Math.max(1, n('range', 15))), from: n('from', null), to: n('to', null),
  };
}
function go(change, replace) {
  const p = { ...place(), ...change }, q = new URLSearchParams();
  if (p.limiter !== null) q.set('name', p.limiter);
  if (p.q) q.set('q', p.q);
  if (p.order !== 'name') q.set('order', p.order);
  if (p.reverse) q.set('reverse', 'true');
  if (p.minutes !== 15) q.set('range', p.minutes);
  if (p.from !== null && p.to !== null) { q.set('from', Math.round(p.from)); q.set('to', Math.round(p.to)); }
  const url = (p.limiter === null ? '/' : '/limiter') + (String(q) ? `?${q}` : '');
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  arrive();
}
