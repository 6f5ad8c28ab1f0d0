'use strict';
// Names of limiters can be anything: they are only ever set as text, never as HTML.
const $ = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const cards = new Map();
let source, retry = 1000, lastFrame = 0, ahead = 0;
const visible = new Set();
// The program's clock: this machine's may differ.
const now = () => Date.now() + ahead;

// ---- numbers and words
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const big = n => n >= 10000 ? short.format(n) : number.format(n >= 100 ? Math.round(n) : n);
function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1) return `${Math.max(1, Math.round(ms * 1000))} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  return s < 3600 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}
const clock = ms => new Date(ms).toLocaleTimeString([], { hour12: false });
const seconds = ms => `${Math.ceil(ms / 1000)} s`;
const ago = ms => `${ms < 60000 ? `${Math.max(0, Math.round(ms / 1000))} s` : duration(ms)} ago`;

// ---- the stream of frames
function connect() {
  if (source) source.close();
  const q = new URLSearchParams({ q: $('filter').value.trim(), order: $('order').value });
  source = new EventSource(`/api/events?${q}`);
  source.addEventListener('frame', event => {
    retry = 1000;
    lastFrame = Date.now();
    const frame = JSON.parse(event.data);
    ahead = frame.at_ms - lastFrame;
    show(frame);
  });
  source.onerror = () => {
    source.close();
    lost();
    setTimeout(connect, retry);
    retry = Math.min(retry * 1.6, 10000);
  };
}
function lost() {
  $('live').className = 'chip bad';
  $('live').textContent = 'reconnecting';
  $('lost').hidden = false;
  $('lost').textContent = lastFrame
    ? `Connection lost: what is shown is from ${clock(lastFrame)}. Reconnecting …`
    : 'The program does not answer. Trying again …';
  document.body.classList.add('stale');
}
function show(frame) {
  document.body.classList.remove('stale');
  $('lost').hidden = true;
  $('live').className = 'chip good';
  $('live').textContent = 'live';
  $('token-form').hidden = !frame.token_needed;
  showHistory(frame.history);
  showPressure(frame.pressure);
  const seen = new Set();
  // Nothing moves away from under a pointer or the keyboard.
  const stay = $('order').value !== 'name' && $('cards').matches(':hover, :focus-within');
  let before = null;
  for (const limiter of frame.limiters) {
    seen.add(limiter.name);
    let card = cards.get(limiter.name);
    if (!card) cards.set(limiter.name, card = new Card(limiter.name));
    const place = before ? before.nextSibling : $('cards').firstChild;
    if (stay && !card.node.parentNode) $('cards').append(card.node);
    else if (!stay && card.node !== place) $('cards').insertBefore(card.node, place);
    before = card.node;
    card.update(limiter, frame.at_ms);
  }
  for (const [name, card] of cards) if (!seen.has(name)) { card.remove(); cards.delete(name); }
  const rest = frame.matching - frame.limiters.length;
  $('empty').hidden = frame.limiters.length > 0 && rest === 0;
  $('empty').textContent = rest > 0 ? `${rest} more: filter by name to see them.`
    : frame.total ? 'No limiter has that in its name.'
    : 'No limiter is registered yet. It is shown here as soon as one is.';
  for (const button of [$('all-down'), $('all-up')]) button.disabled = frame.total === 0;
  $('count').textContent = big(frame.total);
  document.title = `${frame.total} limiter${frame.total === 1 ? '' : 's'} · ${location.host}`;
}
function showHistory(history) {
  const chip = $('history');
  chip.hidden = !history;
  if (!history) return;
  chip.className = history.error ? 'chip bad' : 'chip good';
  chip.textContent = history.error ? `history not written: ${history.error}` : `history: ${history.run_id}`;
  chip.title = `${history.path}, ${history.rows_waiting} rows waiting, ${history.rows_lost} lost`;
}
function showPressure(pressure) {
  const chip = $('pressure');
  chip.hidden = !pressure;
  if (!pressure) return;
  const kind = { overload: 'bad', clear: 'good', between: '', unknown: 'warn' }[pressure.verdict];
  chip.className = `chip ${kind}`;
  const words = { overload: 'CPU overloaded, pressure', clear: 'CPU clear, pressure', between: 'CPU pressure', unknown: 'CPU pressure unknown' };
  chip.textContent = words[pressure.verdict]
    + (pressure.avg10 === null ? '' : ` ${Math.round(pressure.avg10)} %`)
    + (pressure.lowered ? `, ${pressure.lowered} ${pressure.dry_run ? 'would be ' : ''}lowered` : '')
    + (pressure.dry_run ? ' (dry run)' : '');
  chip.title = pressure.error || `waits for a CPU: ${pressure.avg10} % over 10 s, ${pressure.avg60} % over 60 s (${pressure.source})`;
}

// ---- presses
async function post(path, body) {
  const headers = { 'content-type': 'application/json' };
  const token = $('token').value;
  if (token) headers.authorization = `Bearer ${token}`;
  let answer;
  try { answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }); }
  catch { throw new Error('the program does not answer'); }
  const json = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (!answer.ok) {
    if (answer.status === 401) { $('token-form').hidden = false; $('token').focus(); }
    throw new Error(json.error);
  }
  return json;
}
function came(outcome) {
  switch (outcome.result) {
    case 'changed': return ['', `Changed: ${outcome.from} → ${outcome.to}`];
    case 'held': return ['held', `Held: ${seconds(outcome.remaining_ms)} left since the last change`];
    case 'unchanged': return ['same', `Unchanged: it is at ${outcome.ceiling} already`];
    case 'paused': return ['held', 'Paused: nothing is granted'];
    default: return ['', 'Resumed'];
  }
}
async function pressAll(action) {
  try {
    const all = await post('/api/adjust-all', { action });
    const count = result => all.filter(one => one.result === result).length;
    for (const one of all) cards.get(one.name)?.pressed(one);
    $('said').textContent = `All ${action}: ${count('changed')} changed, ${count('held')} held, ${count('unchanged')} unchanged`;
  } catch (error) { $('said').textContent = `All ${action}: ${error.message}`; }
}

// ---- a limiter
class Card {
  constructor(name) {
    this.name = name;
    this.points = [];
    this.changes = [];
    this.node = $('card').content.firstElementChild.cloneNode(true);
    this.node.querySelector('h2').textContent = name.trim() ? name : name ? '(blank name)' : '(no name)';
    this.node.setAttribute('aria-label', name);
    this.node.card = this;
    this.value = {};
    for (const node of this.node.querySelectorAll('[data-v]')) this.value[node.dataset.v] = node;
    this.button = {};
    for (const node of this.node.querySelectorAll('[data-do]')) this.button[node.dataset.do] = node;
    this.input = this.node.querySelector('input');
    for (const action of ['up', 'down']) this.button[action].onclick = () => this.press(action);
    this.button.pause.onclick = () => this.press(this.limiter.paused ? 'resume' : 'pause');
    this.node.querySelector('form').onsubmit = event => { event.preventDefault(); this.set(); };
    const figure = this.node.querySelector('figure');
    figure.onpointermove = event => this.read(event);
    figure.onpointerleave = () => { this.hair = null; this.draw(); };
    watcher.observe(this.node);
  }
  remove() { watcher.unobserve(this.node); visible.delete(this); this.node.remove(); }
  // What was before the page was opened: once the card is seen.
  async load() {
    this.loaded = true;
    const minutes = $('range').value;
    try {
      const answer = await fetch(`/api/history?${new URLSearchParams({ limiter: this.name, minutes })}`);
      if (!answer.ok) return;
      const past = await answer.json();
      const first = past.points.length ? past.points.at(-1)[0] : 0;
      this.points = past.points.concat(this.points.filter(point => point[0] > first));
      this.changes = past.changes;
      this.draw();
    } catch { /* the stream tells when the connection is lost */ }
  }
  update(limiter, at) {
    this.limiter = limiter;
    this.at = Date.now();
    this.points.push([at, limiter.in_flight, limiter.ceiling, limiter.waiting, limiter.paused]);
    const change = limiter.last_change;
    if (change && change.at_ms > (this.changes.at(-1)?.at_ms ?? 0)) this.changes.push(change);
    this.trim(at);
    this.paint();
    this.draw();
  }
  trim(now) {
    const from = now - $('range').value * 60000;
    const first = this.points.findIndex(point => point[0] >= from);
    if (first > 1) this.points.splice(0, first - 1);
    if (this.points.length > 1800) this.points = this.points.filter((_, i) => i % 2 || i > 1200);
    this.changes = this.changes.filter(change => change.at_ms >= from).slice(-500);
  }
  paint() {
    const l = this.limiter, v = this.value, text = (key, what) => {
      if (v[key].textContent !== what) v[key].textContent = what;
    };
    text('in_flight', big(l.in_flight));
    text('ceiling', big(l.ceiling));
    text('bounds', `${big(l.min)} to ${big(l.max)}`);
    text('waiting', big(l.waiting));
    text('p50', duration(l.wait_p50_ms));
    text('p99', duration(l.wait_p99_ms));
    text('rate', `${big(l.per_second)}/s`);
    text('refused', big(l.refused));
    v.waiting.parentNode.classList.toggle('some', l.waiting > 0);
    const badges = this.node.querySelector('.badges');
    const want = [l.paused && ['paused', ''], l.closed && ['closed', 'bad'],
      l.in_flight > l.ceiling && ['draining', 'soft'],
      !l.paused && !l.closed && l.waiting > 0 && l.in_flight >= l.ceiling && l.in_flight === l.ceiling && ['full', 'soft']].filter(Boolean);
    const key = want.map(badge => badge[0]).join();
    if (badges.dataset.key !== key) {
      badges.dataset.key = key;
      badges.replaceChildren(...want.map(([word, kind]) => {
        const badge = document.createElement('span');
        badge.className = `badge ${kind}`;
        badge.textContent = word;
        return badge;
      }));
    }
    const scale = Math.max(l.max, l.in_flight, 1), percent = n => `${100 * n / scale}%`;
    const meter = this.node.querySelector('.meter');
    meter.classList.toggle('full', l.in_flight >= l.ceiling && l.waiting > 0);
    for (const [name, value] of [['valuemin', 0], ['valuemax', scale], ['valuenow', l.in_flight]]) meter.setAttribute(`aria-${name}`, value);
    meter.setAttribute('aria-valuetext', `${l.in_flight} of ${l.ceiling}`);
    meter.querySelector('.fill').style.width = percent(l.in_flight);
    meter.querySelector('.cap').style.left = percent(l.ceiling);
    meter.querySelector('.min').style.left = percent(l.min);
    this.button.down.textContent = `Down ${big(l.down)}`;
    this.button.up.textContent = `Up ${big(l.up)}`;
    this.button.down.disabled = l.ceiling <= l.min;
    this.button.up.disabled = l.ceiling >= l.max;
    this.button.pause.textContent = l.paused ? 'Resume' : 'Pause';
    this.input.placeholder = l.ceiling;
    this.input.min = l.min;
    this.input.max = l.max;
    this.tick();
  }
  tick() {
    if (!this.limiter) return;
    const { last_change: change, hold_ms } = this.limiter;
    const hold = hold_ms - (Date.now() - this.at);
    this.value.hold.textContent = hold > 0 ? `held ${seconds(hold)}` : '';
    this.value.last.textContent = change
      ? `${change.from} → ${change.to} by ${change.cause || 'nobody'}, ${ago(now() - change.at_ms)}`
      : 'no change yet';
  }
  pressed(outcome) {
    const [kind, words] = came(outcome);
    this.say(kind, words);
    Object.assign(this.limiter, { in_flight: outcome.in_flight, ceiling: outcome.ceiling, paused: outcome.paused, hold_ms: outcome.hold_ms });
    if (outcome.result === 'changed') {
      this.limiter.last_change = { at_ms: now(), from: outcome.from, to: outcome.to, cause: 'dashboard' };
    }
    this.at = Date.now();
    this.paint();
  }
  say(kind, words) {
    const node = this.node.querySelector('.came');
    node.className = `came ${kind}`;
    node.textContent = words;
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => { node.textContent = ''; }, 12000);
  }
  async press(action, ceiling) {
    try { this.pressed(await post('/api/adjust', { limiter: this.name, action, ceiling })); }
    catch (error) { this.say('bad', `Not done: ${error.message}`); }
  }
  set() {
    const ceiling = Number(this.input.value), l = this.limiter;
    if (this.input.value === '' || !Number.isInteger(ceiling) || ceiling < l.min || ceiling > l.max) {
      return this.say('bad', `Not done: give a whole number from ${l.min} to ${l.max}`);
    }
    this.input.value = '';
    this.press('set', ceiling);
  }
  // ---- its chart
  draw() {
    if (!visible.has(this) || !this.points.length) return;
    const svg = this.node.querySelector('.chart'), W = svg.clientWidth || 300, H = 112;
    const end = this.points.at(-1)[0];
    // A chart of the last minute and a half at least, and no longer than there is something to see.
    const span = Math.min($('range').value * 60000, Math.max(90000, end - this.points[0][0]));
    const begin = end - span;
    const top = Math.max(1, ...this.points.map(p => Math.max(p[1], p[2]))) * 1.12;
    const x = at => ((at - begin) / span * W).toFixed(1), y = n => (H - n / top * (H - 4)).toFixed(1);
    // Where nothing was sampled for long, the line is broken.
    const gap = Math.max(span / 40, 45000);
    let flight = '', area = '', ceiling = '', waiting = '', paused = '', start = null, before = null;
    const most = Math.max(top, 1);
    for (const p of this.points) {
      const broken = !before || p[0] - before[0] > gap;
      if (broken && before) area += `V${H}H${x(start)}Z`;
      if (broken) { start = p[0]; area += `M${x(p[0])} ${H}V${y(p[1])}`; }
      flight += `${broken ? 'M' : 'L'}${x(p[0])} ${y(p[1])}`;
      if (!broken) area += `L${x(p[0])} ${y(p[1])}`;
      ceiling += broken ? `M${x(p[0])} ${y(p[2])}` : `H${x(p[0])}V${y(p[2])}`;
      waiting += `${broken ? 'M' : 'L'}${x(p[0])} ${y(Math.min(p[3], most))}`;
      if (p[4] && !broken) paused += `M${x(before[0])} 0H${x(p[0])}V${H}H${x(before[0])}Z`;
      before = p;
    }
    area += `V${H}H${x(start)}Z`;
    const change = this.changes.filter(c => c.at_ms >= begin).map(c => `M${x(c.at_ms)} 0V${H}`).join('');
    svg.setAttribute('viewBox', `0 0 ${W} ${H}`);
    const waits = this.points.some(p => p[3] > 0);
    this.path('paused', paused); this.path('change', change); this.path('area', area); this.path('waiting', waits ? waiting : '');
    this.path('flight', flight); this.path('ceiling', ceiling);
    this.path('hair', this.hair ? `M${x(this.hair)} 0V${H}` : '');
    this.node.querySelector('.read').hidden = !this.hair;
    this.node.querySelector('.top').textContent = big(Math.round(top / 1.12));
    this.node.querySelector('.from').textContent = `${duration(span)} ago`;
    this.scale = { begin, span };
  }
  path(name, d) {
    const svg = this.node.querySelector('.chart');
    let path = svg.querySelector(`.${name}`);
    if (!path) {
      path = document.createElementNS(SVG, 'path');
      path.setAttribute('class', name);
      svg.append(path);
    }
    path.setAttribute('d', d);
  }
  read(event) {
    if (!this.scale) return;
    const box = event.currentTarget.getBoundingClientRect();
    const at = this.scale.begin + (event.clientX - box.left) / box.width * this.scale.span;
    const near = list => list.reduce((a, b) => Math.abs(time(b) - at) < Math.abs(time(a) - at) ? b : a);
    const time = entry => Array.isArray(entry) ? entry[0] : entry.at_ms;
    const point = near(this.points);
    this.hair = point[0];
    let words = `${clock(point[0])}  ${number.format(point[1])} / ${number.format(point[2])}, ${number.format(point[3])} waiting`;
    const change = this.changes.length ? near(this.changes) : null;
    if (point[4]) words += ', paused';
    if (change && Math.abs(change.at_ms - at) < this.scale.span / 60) words += ` · ${change.from} → ${change.to} ${change.cause}`;
    this.node.querySelector('.read').textContent = words;
    this.draw();
  }
}
const watcher = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    const card = target.card;
    if (!isIntersecting) { visible.delete(card); continue; }
    visible.add(card);
    if (!card.loaded) card.load();
    card.draw();
  }
}, { rootMargin: '200px' });

// ---- the page's own controls
$('all-up').onclick = () => pressAll('up');
$('all-down').onclick = () => pressAll('down');
$('token-form').onsubmit = event => event.preventDefault();
$('token').value = sessionStorage.getItem('token') || '';
$('token').oninput = () => sessionStorage.setItem('token', $('token').value);
$('range').onchange = () => { for (const card of cards.values()) { card.points = card.points.slice(-1); card.loaded = false; if (visible.has(card)) card.load(); } };
$('order').onchange = connect;
let typing;
$('filter').oninput = () => { clearTimeout(typing); typing = setTimeout(connect, 250); };
addEventListener('resize', () => { for (const card of visible) card.draw(); });
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest('input, select');
  if (field) { if (event.key === 'Escape') (field.closest('article') || $('cards')).focus(); return; }
  const card = event.target.closest('article')?.card;
  const all = [...cards.values()].sort((a, b) => a.node.compareDocumentPosition(b.node) & 4 ? -1 : 1);
  const go = step => all.length && all[Math.min(all.length - 1, Math.max(0, card ? all.indexOf(card) + step : 0))].node.focus();
  switch (event.key) {
    case '/': $('filter').focus(); break;
    case 'j': go(1); break;
    case 'k': go(-1); break;
    case 'u': card?.press('up'); break;
    case 'd': card?.press('down'); break;
    case 's': card?.input.focus(); break;
    case 'p': card?.press(card.limiter.paused ? 'resume' : 'pause'); break;
    default: return;
  }
  event.preventDefault();
});
setInterval(() => {
  for (const card of visible) card.tick();
  // A connection can also just fall silent.
  if (lastFrame && Date.now() - lastFrame > 25000 && $('lost').hidden) { lost(); connect(); }
}, 1000);
connect();
