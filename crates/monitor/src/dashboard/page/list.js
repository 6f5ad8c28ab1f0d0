// ---- all limiters: a dozen as cards, more as rows
const CARDS = 12;
let rows = new Map(), asCards = null, selected = null, refocus = null;
const visible = new Set();
const known = name => one?.name === name ? one.limiter : rows.get(name)?.limiter;
function pressed(came) {
  for (const item of [rows.get(came.name), one?.name === came.name ? one : null]) {
    if (!item?.limiter) continue;
    const { in_flight, ceiling, setting, paused, hold_up_ms, hold_down_ms } = came;
    Object.assign(item.limiter, { in_flight, ceiling, setting, paused, hold_up_ms, hold_down_ms, at: Date.now() });
    item.paint();
  }
}

class Item {
  constructor(name, template) {
    this.name = name;
    this.points = [];
    this.node = $(template).content.firstElementChild.cloneNode(true);
    this.node.item = this;
    const link = this.node.querySelector('a');
    link.textContent = shown(name);
    link.href = href(name);
    link.dir = 'auto';
    link.title = name;
    this.node.setAttribute('aria-label', shown(name));
    this.value = {};
    for (const node of this.node.querySelectorAll('[data-v]')) this.value[node.dataset.v] = node;
    this.svg = this.node.querySelector('svg');
    this.svg.setAttribute('aria-label', `${shown(name)}: the last minutes`);
    this.node.onfocus = () => { selected = this; };
    watcher.observe(this.node);
  }
  remove() { watcher.unobserve(this.node); visible.delete(this); this.node.remove(); }
  update(limiter, at) {
    this.limiter = { ...limiter, at: Date.now() };
    this.points.push([at, limiter.in_flight, limiter.ceiling, limiter.waiting, limiter.paused]);
    const from = at - 15 * 60000, first = this.points.findIndex(point => point[0] >= from);
    if (first > 1) this.points.splice(0, first - 1);
    if (visible.has(this)) { this.paint(); this.draw(); }
  }
  past(spark) {
    const first = this.points[0]?.[0] ?? Infinity;
    const past = spark.at_ms.map((at, i) => [at, spark.in_flight[i], spark.ceiling[i], spark.waiting[i], false]);
    this.points = past.filter(point => point[0] < first).concat(this.points);
    if (visible.has(this)) this.draw();
  }
  text(key, what) { put(this.value[key], what); }
  paint() {
    const l = this.limiter;
    putBadges(this.node.querySelector('.badges'), l);
    this.text('in_flight', big(l.in_flight));
    this.text('ceiling', big(l.ceiling));
    this.text('waiting', big(l.waiting));
    this.text('rate', `${big(l.per_second)}/s`);
    this.text('refused', big(l.refused));
  }
  // In flight as an area below the ceiling's line; what waits has an axis of its own, below.
  draw() {
    const W = 300, H = this.height, band = this.band, svg = this.svg;
    if (!this.points.length) return;
    const end = this.points.at(-1)[0], span = Math.min(900000, Math.max(90000, end - this.points[0][0])), begin = end - span;
    const list = this.points, top = Math.max(1, ...list.map(p => Math.max(p[1], p[2]))), most = Math.max(...list.map(p => p[3]));
    const base = H - (most > 0 ? band : 0);
    const x = at => ((at - begin) / span * W).toFixed(1), y = n => (base - 1 - n / top * (base - 4)).toFixed(1);
    let flight = '', ceiling = '', waiting = '', paused = '';
    list.forEach((p, i) => {
      const before = list[i - 1];
      flight += `${i ? 'L' : 'M'}${x(p[0])} ${y(p[1])}`;
      ceiling += i ? `H${x(p[0])}V${y(p[2])}` : `M${x(p[0])} ${y(p[2])}`;
      if (most > 0) waiting += `${i ? 'L' : `M${x(p[0])} ${H}L`}${x(p[0])} ${(H - p[3] / most * (band - 2)).toFixed(1)}`;
      if (p[4] && before) paused += `M${x(before[0])} 0H${x(p[0])}V${base}H${x(before[0])}Z`;
    });
    const close = path => path && `${path}L${x(end)} ${path === waiting ? H : base}L${x(list[0][0])} ${path === waiting ? H : base}Z`;
    svg.setAttribute('viewBox', `0 0 ${W} ${H}`);
    this.path('paused', paused); this.path('area', close(flight)); this.path('queue', close(waiting));
    this.path('flight', flight); this.path('ceiling', ceiling);
    const flights = list.map(p => p[1]);
    svg.setAttribute('aria-label', `${shown(this.name)}, last ${duration(span)}: ${number.format(Math.min(...flights))} to ${number.format(Math.max(...flights))} in flight, ceiling up to ${number.format(Math.max(...list.map(p => p[2])))}, at most ${number.format(most)} waiting`);
  }
  path(name, d) {
    let path = this.svg.querySelector(`.${name}`);
    if (!path) {
      path = document.createElementNS(SVG, 'path');
      path.setAttribute('class', name);
      this.svg.append(path);
    }
    path.setAttribute('d', d);
  }
  tick() {}
}
class Card extends Item {
  constructor(name) {
    super(name, 'card');
    [this.height, this.band] = [96, 26];
    this.press = new Press(this.node.querySelector('.press'), name);
  }
  paint() {
    super.paint();
    const l = this.limiter;
    this.text('bounds', `ceiling, ${big(l.min)} to ${big(l.max)}${l.ceiling < l.setting ? `, set to ${big(l.setting)}` : ''}`);
    this.text('cancelled', big(l.cancelled));
    this.text('waits', waits(l));
    this.node.querySelector('.queue').classList.toggle('some', l.waiting > 0);
    putMeter(this.node.querySelector('.meter'), l);
    this.press.update(l);
    this.tick();
  }
  tick() {
    if (!this.limiter) return;
    this.text('hold', holds(this.limiter));
    this.text('last', lastChange(this.limiter));
  }
}
class Row extends Item {
  constructor(name) {
    super(name, 'row');
    [this.height, this.band] = [30, 9];
    for (const node of this.node.querySelectorAll('[data-do]')) {
      node.setAttribute('aria-label', `${node.dataset.do === 'up' ? 'Up' : 'Down'}: ${shown(name)}`);
      node.onclick = () => press(name, node.dataset.do);
    }
    this.node.onclick = event => { if (!event.target.closest('a, button') && !String(getSelection())) go({ limiter: name }); };
  }
  paint() {
    super.paint();
    const l = this.limiter;
    this.text('share', percent(l.share_waited));
    this.text('p99', duration(l.wait_p99_ms));
    this.node.querySelector('.bar-mini i').style.width = `${Math.min(100, 100 * l.in_flight / Math.max(1, l.ceiling))}%`;
    this.node.classList.toggle('full', l.in_flight >= l.ceiling && l.waiting > 0);
    const [down, up] = this.node.querySelectorAll('[data-do]');
    down.disabled = l.setting <= l.min;
    up.disabled = l.setting >= l.max;
  }
}
const watcher = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    const item = target.item;
    if (!isIntersecting) { visible.delete(item); continue; }
    visible.add(item);
    if (item.limiter) { item.paint(); item.draw(); }
  }
}, { rootMargin: '200px' });

function showList(frame) {
  const cards = frame.total <= CARDS;
  if (cards !== asCards) {
    for (const item of rows.values()) item.remove();
    rows = new Map();
    asCards = cards;
  }
  $('cards').hidden = !cards || frame.limiters.length === 0;
  $('table').hidden = cards || frame.limiters.length === 0;
  const box = cards ? $('cards') : $('table').tBodies[0];
  const p = place(), seen = new Set();
  // Nothing moves away from under a pointer or the keyboard.
  const stay = p.order !== 'name' && box.matches(':hover, :focus-within') && p.order === box.order;
  box.order = p.order;
  let before = null, fresh = false;
  for (const limiter of frame.limiters) {
    seen.add(limiter.name);
    let item = rows.get(limiter.name);
    if (!item) { rows.set(limiter.name, item = new (cards ? Card : Row)(limiter.name)); fresh = true; }
    const after = before ? before.nextSibling : box.firstChild;
    if (stay && !item.node.parentNode) box.append(item.node);
    else if (!stay && item.node !== after) box.insertBefore(item.node, after);
    before = item.node;
    item.update(limiter, frame.at_ms);
  }
  for (const [name, item] of rows) if (!seen.has(name)) { item.remove(); rows.delete(name); }
  for (const th of $('table').querySelectorAll('[data-sort]')) {
    if (th.dataset.sort !== p.order) th.removeAttribute('aria-sort');
    else th.setAttribute('aria-sort', (p.order === 'name') !== p.reverse ? 'ascending' : 'descending');
  }
  const rest = frame.matching - frame.limiters.length;
  $('empty').hidden = frame.limiters.length > 0 && rest === 0;
  put($('empty'), rest > 0 ? `${rest} more: filter by name to see them.`
    : frame.total ? 'No limiter has that in its name.'
    : 'No limiter is registered yet. It is shown here as soon as one is.');
  if (fresh) loadSparks();
  // Back from its own page: where it was.
  if (refocus !== null && rows.has(refocus)) rows.get(refocus).node.focus();
  refocus = null;
}
// What was before the page was opened, of all at once.
async function loadSparks() {
  const p = place(), q = { q: p.q, order: p.order, reverse: p.reverse, limit: 1000, minutes: 15 };
  try {
    const past = await (await ask(`/api/sparks?${new URLSearchParams(q)}`)).json();
    for (const [name, spark] of Object.entries(past.limiters)) rows.get(name)?.past(spark);
  } catch { /* the stream tells when the connection is lost */ }
}
