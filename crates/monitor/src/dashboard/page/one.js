// ---- one limiter, and its charts on one axis of time
let one = null;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const line = (label, color, field, more = {}) => ({ label, color, field, ...more });
const PANELS = [
  { title: 'In flight and ceiling', height: 190, marks: true, lines: [
    line('in flight', '--flight', 'in_flight', { area: true }), line('ceiling', '--ceiling', 'ceiling', { step: true, width: 2 }),
    line('setting', '--soft', 'setting', { step: true, dash: [4, 4] }), line('pressure would cap at', '--waiting', 'would_be', { step: true, dash: [2, 4] })] },
  { title: 'Waiting', height: 96, lines: [line('waiting', '--waiting', 'waiting', { area: true }), line('most', '--waiting', 'peak_waiting', { dash: [2, 3] })] },
  { title: 'How long they waited', height: 96, words: duration, lines: [line('p50', '--flight', 'wait_p50_ms', { points: true }), line('p99', '--ceiling', 'wait_p99_ms', { points: true })] },
  { title: 'Requests a second', height: 96, words: n => `${big(n)}/s`, lines: [line('admitted', '--flight', 'granted_per_second', { area: true }), line('had to wait', '--waiting', 'waited_per_second')] },
  { title: 'Turned away a second', height: 84, words: n => `${big(n)}/s`, lines: [line('refused', '--bad', 'refused_per_second', { area: true }), line('given up waiting', '--ceiling', 'cancelled_per_second')] },
];
const FIELDS = [...new Set(PANELS.flatMap(panel => panel.lines.map(l => l.field)))];

/// What has no neighbour makes no line, and is drawn as a point.
const alone = (u, series) => [...u.data[series].keys()].filter(i => {
  const [before, at, after] = [i - 1, i, i + 1].map(i => u.data[series][i] ?? null);
  return at !== null && before === null && after === null;
});

class One {
  constructor(name) {
    this.name = name;
    this.node = $('one');
    this.node.replaceChildren($('one-body').content.cloneNode(true));
    this.value = {};
    for (const node of this.node.querySelectorAll('[data-v]')) this.value[node.dataset.v] = node;
    const title = $('one-name');
    title.textContent = shown(name);
    title.dir = 'auto';
    this.node.querySelector('.back').onclick = event => { event.preventDefault(); back(); };
    this.press = new Press(this.node.querySelector('.press'), name);
    for (const [minutes, words] of RANGES) {
      $('ranges').append(make('button', { type: 'button', textContent: words, onclick: () => go({ minutes, from: null, to: null }) }));
    }
    $('zoom-in').onclick = () => this.zoom(0.5);
    $('zoom-out').onclick = () => this.zoom(2);
    this.points = []; this.changes = []; this.pauses = [];
    this.plots = [];
    this.arrive();
  }
  // Another range, or the first one.
  arrive() {
    const p = place(), key = `${p.minutes} ${p.from} ${p.to}`;
    if (key === this.key) return;
    this.key = key;
    this.fixed = p.from !== null && p.to !== null;
    [...$('ranges').children].forEach((button, i) => button.setAttribute('aria-pressed', !this.fixed && RANGES[i][0] === p.minutes));
    this.load();
  }
  span() {
    const p = place(), end = this.points.at(-1)?.at_ms ?? now();
    return this.fixed ? [p.from, p.to] : [end - p.minutes * 60000, end];
  }
  zoom(factor) {
    const [from, to] = this.span(), middle = this.fixed || factor < 1 ? (from + to) / 2 : to - (to - from) / 2;
    const half = Math.min(302400000, Math.max(5000, (to - from) * factor / 2));
    const end = Math.min(middle + half, now());
    go({ from: end - 2 * half, to: end });
  }
  async load() {
    const p = place(), mine = this.loading = {};
    const when = this.fixed ? { from: Math.round(p.from), to: Math.round(p.to) } : { minutes: p.minutes };
    let past;
    try { past = await (await ask(`/api/history?${new URLSearchParams({ limiter: this.name, ...when })}`)).json(); }
    catch (error) { if (mine === this.loading) this.note(error.status === 404 ? '' : `The past cannot be shown: ${error.message}`); return; }
    if (mine !== this.loading) return;
    const last = past.points.at(-1)?.at_ms ?? 0;
    // What has been seen live goes on where the past ends.
    const live = this.fixed ? [] : this.points.filter(point => point.live && point.at_ms > last);
    this.points = past.points.concat(live);
    this.changes = past.changes.concat(this.fixed ? [] : this.changes.filter(c => c.at_ms > (past.changes.at(-1)?.at_ms ?? last)));
    this.pauses = past.pauses;
    this.note(past.error ? `From memory only: ${past.error}` : past.source === 'memory' ? 'From memory: averages of 10 s, at most 2 h. A monitor with a history knows more.' : '');
    this.draw();
  }
  note(words) { $('chart-note').hidden = !words; put($('chart-note'), words); }
  update(detail, at) {
    this.node.querySelector('.gone').hidden = detail !== null;
    if (detail === null) {
      put(this.node.querySelector('.gone'), this.limiter ? 'It is no longer registered: this is how it was last seen.' : 'No limiter of this name is registered. It is shown here as soon as one is.');
      return;
    }
    this.limiter = { ...detail, at: Date.now() };
    const { per_second: granted_per_second, ...rest } = detail;
    this.points.push({ ...rest, at_ms: at, granted_per_second, peak_waiting: detail.waiting, wait_p50_ms: detail.sampled_p50_ms, wait_p99_ms: detail.sampled_p99_ms, live: true });
    if (this.points.length > 3000) this.points = this.points.filter((_, i) => i % 2 || i > 2000);
    const change = detail.last_change;
    if (change && change.at_ms > (this.changes.at(-1)?.at_ms ?? 0) && change.at_ms > at - 60000) this.changes.push(change);
    const before = this.points.at(-2);
    if (before && before.paused !== detail.paused) this.pauses.push({ at_ms: at, paused: detail.paused, cause: '' });
    this.paint();
    if (!this.fixed) this.draw();
  }
  text(key, what) { put(this.value[key], what); }
  paint() {
    const l = this.limiter;
    putBadges(this.node.querySelector('.badges'), l);
    this.text('in_flight', big(l.in_flight));
    this.text('peak_in_flight', `most ever ${big(l.peak_in_flight)}`);
    this.text('ceiling', big(l.ceiling));
    this.text('setting', `set to ${big(l.setting)}, of ${big(l.min)} to ${big(l.max)}`);
    this.text('waiting', big(l.waiting));
    this.text('peak_waiting', `most ever ${big(l.peak_waiting)}`);
    this.text('share', percent(l.share_waited));
    this.text('p50', duration(l.wait_p50_ms));
    this.text('p99', duration(l.wait_p99_ms));
    this.text('rate', `${big(l.per_second)}/s`);
    this.text('acquired', `${big(l.acquired)} in all`);
    this.text('refused', big(l.refused));
    const words = { closed: 'closed', exceeds_max: 'too large', no_permits: 'none free', queue_full: 'queue full' };
    this.text('reasons', Object.entries(l.reasons).filter(([, n]) => n).map(([reason, n]) => `${big(n)} ${words[reason]}`).join(', ') || 'for no reason yet');
    this.text('cancelled', big(l.cancelled));
    this.press.update(l);
    const list = (node, pairs, none) => {
      const key = JSON.stringify(pairs);
      if (node.dataset.key === key) return;
      node.dataset.key = key;
      node.replaceChildren(...(pairs.length ? pairs : [[none, '']]).flatMap(([term, text]) => [make('div', {}, make('dt', { textContent: term }), make('dd', { textContent: text }))]));
    };
    list($('settings'), [['Lowest', big(l.min)], ['Highest', big(l.max)], ['Step up', l.step_up], ['Step down', l.step_down],
      ['After a change, up is held', duration(l.holds_up_ms || null)], ['After a change, down is held', duration(l.holds_down_ms || null)]]);
    list($('caps'), l.caps.map(cap => [cap.cause, big(cap.at)]), 'None');
    $('holders-part').hidden = !l.holders.length && l.held_p50_ms === null;
    if (!$('holders-part').hidden) {
      $('holders').tBodies[0].replaceChildren(...l.holders.map(holder => make('tr', {}, make('td', { textContent: holder.label || '(no label)' }),
        make('td', { className: 'n', textContent: big(holder.count) }), make('td', { className: 'n', textContent: duration(holder.held_ms) }))));
      put($('held'), l.held_p50_ms === null ? '' : `Given back after p50 ${duration(l.held_p50_ms)}, p99 ${duration(l.held_p99_ms)}.`);
    }
    this.tick();
  }
  tick() {
    if (!this.limiter) return;
    this.text('hold', holds(this.limiter));
    this.text('last', lastChange(this.limiter));
  }
  // ---- drawing
  draw() {
    const [from, to] = this.span(), points = this.points.filter(point => point.at_ms >= from && point.at_ms <= to);
    // Where nothing was sampled for long, the line is broken.
    const gap = Math.max((to - from) / 60, 150000), data = [[]];
    FIELDS.forEach(() => data.push([]));
    points.forEach((point, i) => {
      if (i && point.at_ms - points[i - 1].at_ms > gap) { data[0].push(points[i - 1].at_ms + 1); FIELDS.forEach((_, f) => data[f + 1].push(null)); }
      data[0].push(point.at_ms);
      FIELDS.forEach((field, f) => data[f + 1].push(point[field] ?? null));
    });
    this.range = [from, to];
    if (!this.plots.length) this.build();
    for (const plot of this.plots) {
      plot.batch(() => {
        plot.setData([data[0], ...plot.panel.lines.map(l => data[1 + FIELDS.indexOf(l.field)])], false);
        plot.setScale('x', { min: from, max: to });
        const tops = plot.panel.lines.flatMap((l, i) => plot.data[i + 1].filter(n => n !== null));
        plot.setScale('y', { min: 0, max: Math.max(plot.panel.words ? 0.001 : 1, ...tops) * 1.12 });
      });
      this.describe(plot);
    }
    const day = to - from > 86400000 || new Date(from).getDate() !== new Date(to).getDate();
    put($('shown'), `${clock(from, day)} to ${this.fixed ? clock(to, day) : 'now'}`);
    const marks = [...this.changes.map(c => ({ at: c.at_ms, said: c.said, after: c.ceiling })),
      ...this.pauses.map(q => ({ at: q.at_ms, said: `${q.paused ? 'paused' : 'resumed'}${q.cause ? ` by ${q.cause}` : ''}`, after: null }))]
      .filter(mark => mark.at >= from && mark.at <= to).sort((a, b) => b.at - a.at).slice(0, 200);
    const key = JSON.stringify(marks);
    if (this.marksKey !== key) {
      this.marksKey = key;
      $('changes').tBodies[0].replaceChildren(...marks.map(mark => make('tr', {}, make('td', { textContent: clock(mark.at, day) }),
        make('td', { textContent: mark.said }), make('td', { className: 'n', textContent: mark.after === null ? '' : big(mark.after) }))));
      $('changes').hidden = !marks.length;
      $('no-changes').hidden = marks.length > 0;
    }
  }
  /// A chart in words: for those who cannot see it.
  describe(plot) {
    const said = plot.panel.lines.map((l, i) => {
      const values = plot.data[i + 1].filter(n => n !== null);
      const word = plot.panel.words ?? (n => number.format(n));
      return values.length ? `${l.label} now ${word(values.at(-1))}, from ${word(Math.min(...values))} to ${word(Math.max(...values))}` : null;
    }).filter(Boolean);
    plot.box.setAttribute('aria-label', `${plot.panel.title}: ${said.join('; ') || 'nothing recorded'}`);
    if (plot.cursor.idx === null || plot.cursor.left < 0) this.read(plot, plot.data[0].length - 1, false);
  }
  read(plot, i, at) {
    const words = plot.panel.words ?? (n => number.format(n));
    const time = at && plot.data[0][i] ? [make('time', { textContent: clock(plot.data[0][i], this.range[1] - this.range[0] > 86400000) })] : [];
    plot.out.replaceChildren(...time, ...plot.panel.lines.flatMap((l, s) => {
      const value = plot.data[s + 1][i];
      if (value === null || value === undefined) return [];
      const key = make('i', { className: 'key' });
      key.style.background = css(l.color);
      return [make('span', {}, key, `${l.label} `, make('b', { textContent: words(value) }))];
    }));
  }
  build() {
    const charts = $('charts'), grid = { stroke: css('--line'), width: 1 }, font = '11px system-ui, sans-serif';
    charts.replaceChildren();
    this.width = charts.clientWidth;
    this.plots = PANELS.map((panel, p) => {
      const box = make('div', { className: 'plot' }), out = make('p', { className: 'readout' });
      charts.append(make('figure', {}, make('figcaption', {}, make('strong', { textContent: panel.title }), out), box));
      box.setAttribute('role', 'img');
      const last = p === PANELS.length - 1;
      const axis = { font, stroke: css('--soft'), grid, ticks: { show: false } };
      const plot = new uPlot({
        ms: 1, width: this.width, height: panel.height + (last ? 26 : 0), legend: { show: false }, padding: [6, 24, last ? 0 : 6, 0],
        cursor: { sync: { key: 'time' }, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, y: false },
        scales: { x: { time: true, auto: false }, y: { auto: false } },
        axes: [{ ...axis, show: last, size: 26, values: (u, splits, _, space, step) => splits.map((at, i) => this.stamp(at, step)), space: 74 },
          { ...axis, size: 52, space: 28, values: (u, splits) => splits.map(n => n === 0 ? '0' : (panel.words ?? (n => Number.isInteger(n) ? big(n) : ''))(n)) }],
        series: [{}, ...panel.lines.map(l => ({
          label: l.label, stroke: css(l.color), width: l.width ?? 1.5, dash: l.dash, fill: l.area ? `${css(l.color)}26` : undefined,
          paths: l.step ? uPlot.paths.stepped({ align: -1 }) : undefined, points: l.points ? { show: true, size: 5, filter: alone } : { show: false },
        }))],
        hooks: {
          setSelect: [u => {
            if (u.select.width < 8) return;
            const from = u.posToVal(u.select.left, 'x'), to = u.posToVal(u.select.left + u.select.width, 'x');
            u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            if (to - from >= 2000) go({ from, to });
          }],
          setCursor: [u => this.read(u, u.cursor.idx ?? u.data[0].length - 1, u.cursor.idx !== null)],
          drawClear: [u => this.marks(u)],
        },
      }, [[], ...panel.lines.map(() => [])], box);
      Object.assign(plot, { panel, box, out });
      return plot;
    });
  }
  stamp(at, step) {
    const date = new Date(at), two = n => String(n).padStart(2, '0'), time = `${two(date.getHours())}:${two(date.getMinutes())}`;
    if (step >= 86400000) return date.toLocaleDateString([], { month: 'short', day: 'numeric' });
    if (this.range[1] - this.range[0] > 86400000) return [`${date.toLocaleDateString([], { month: 'short', day: 'numeric' })}`, time].join(' ');
    return step < 60000 ? `${time}:${two(date.getSeconds())}` : time;
  }
  // Pauses are shaded, changes are dashed lines.
  marks(u) {
    const { ctx, bbox } = u, x = at => Math.round(u.valToPos(at, 'x', true)), { top, height, left, width } = bbox;
    const inside = at => Math.min(left + width, Math.max(left, x(at)));
    ctx.save();
    ctx.fillStyle = css('--pause');
    let since = null;
    const shade = to => { if (since !== null) ctx.fillRect(inside(since), top, Math.max(1, inside(to) - inside(since)), height); since = null; };
    const shown = this.points;
    // From the samples, and from the events between them.
    for (const point of shown) { if (point.paused) since ??= point.at_ms; else shade(point.at_ms); }
    shade(this.range?.[1] ?? now());
    ctx.strokeStyle = css('--mark');
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { at_ms } of [...this.changes, ...this.pauses]) {
      if (!this.range || at_ms < this.range[0] || at_ms > this.range[1]) continue;
      ctx.beginPath(); ctx.moveTo(x(at_ms), top); ctx.lineTo(x(at_ms), top + height); ctx.stroke();
    }
    ctx.restore();
  }
  rebuild() {
    for (const plot of this.plots) plot.destroy();
    this.plots = [];
    this.draw();
  }
  resize() {
    const width = $('charts').clientWidth;
    if (width === this.width) return;
    this.width = width;
    for (const plot of this.plots) plot.setSize({ width, height: plot.height });
  }
  leave() {
    this.loading = null;
    for (const plot of this.plots) plot.destroy();
    this.node.replaceChildren();
  }
}
