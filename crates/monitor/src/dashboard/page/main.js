// ---- the page as a whole
function show(frame) {
  document.body.classList.remove('stale');
  $('lost').hidden = true;
  $('live').className = 'chip good';
  put($('live'), 'live');
  showHistory(frame.history);
  showPressure(frame.pressure);
  const { full, waiting, paused, capped } = frame.summary;
  put($('summary'), [`${big(full)} full`, `${big(waiting)} waiting`, `${big(paused)} paused`, capped && `${big(capped)} capped`].filter(Boolean).join(', '));
  for (const button of [$('all-down'), $('all-up')]) button.disabled = frame.total === 0;
  put($('count'), big(frame.total));
  document.title = one ? `${shown(one.name)} · ${location.host}` : `${frame.total} limiter${frame.total === 1 ? '' : 's'} · ${location.host}`;
  if (one) one.update(frame.detail, frame.at_ms);
  else showList(frame);
}
function showHistory(history) {
  const chip = $('history');
  chip.hidden = !history;
  if (!history) return;
  chip.className = history.error ? 'chip bad' : history.complaint || history.moved_aside ? 'chip warn' : 'chip good';
  put(chip, history.error ? `history not written: ${history.error}`
    : history.complaint ? `history: ${history.complaint}`
    : history.moved_aside ? `history: a damaged file was moved to ${history.moved_aside}` : `history: ${history.run_id}`);
  chip.title = `${chip.textContent}. ${history.path}, ${history.rows_waiting} rows waiting, ${history.rows_lost} lost`;
}
function showPressure(pressure) {
  const chip = $('pressure');
  chip.hidden = !pressure;
  if (!pressure) return;
  const kind = { overload: 'bad', clear: 'good', between: '', unknown: 'warn' }[pressure.verdict];
  chip.className = `chip ${kind}`;
  const words = { overload: 'CPU overloaded, pressure', clear: 'CPU clear, pressure', between: 'CPU pressure', unknown: 'CPU pressure unknown' };
  put(chip, words[pressure.verdict]
    + (pressure.avg10 === null ? '' : ` ${Math.round(pressure.avg10)} %`)
    + (pressure.capped ? `, ${pressure.capped} ${pressure.dry_run ? 'would be ' : ''}capped` : '')
    + (pressure.dry_run ? ' (dry run)' : ''));
  chip.title = pressure.error || `waits for a CPU: ${pressure.avg10} % over 10 s, ${pressure.avg60} % over 60 s (${pressure.source})`;
}

/// Shows what the address says.
let listed = null;
function arrive() {
  const p = place();
  if (p.limiter === null) {
    one?.leave();
    const was = one?.name ?? null;
    one = null;
    $('one').hidden = true;
    $('tools').hidden = false;
    if (document.activeElement !== $('filter')) $('filter').value = p.q;
    $('order').value = p.order;
    $('reverse').setAttribute('aria-pressed', p.reverse);
    const key = `${p.q} ${p.order} ${p.reverse}`;
    if (listed !== key || was !== null) connect();
    listed = key;
    if (was !== null) refocus = was;
  } else {
    for (const box of [$('cards'), $('table'), $('empty')]) box.hidden = true;
    $('tools').hidden = true;
    $('one').hidden = false;
    if (one?.name !== p.limiter) {
      one?.leave();
      one = new One(p.limiter);
      scrollTo(0, 0);
      connect();
    } else one.arrive();
  }
  put($('keys'), p.limiter === null
    ? 'Keys, on a limiter: Enter opens it, u up, d down, s set (cards), p pause or resume; j and k next and previous, / filter.'
    : 'Keys: u up, d down, s set, p pause or resume, 1 to 6 the time shown, + and − zoom, Escape back. Drag in a chart to zoom.');
}
const back = () => go({ limiter: null, from: null, to: null });

$('home').onclick = event => { event.preventDefault(); go({ limiter: null, from: null, to: null, q: '' }); };
$('main').addEventListener('click', event => {
  const link = event.target.closest('a');
  if (!link || !link.closest('.card, tr') || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ limiter: link.closest('.card, tr').item.name });
});
$('all-up').onclick = () => pressAll('up');
$('all-down').onclick = () => pressAll('down');
$('undo').onclick = undo;
$('hush').onclick = () => { $('toast').hidden = true; };
$('token-no').onclick = () => $('token-dialog').close('no');
$('order').onchange = () => go({ order: $('order').value, reverse: false });
$('reverse').onclick = () => go({ reverse: !place().reverse });
for (const th of $('table').querySelectorAll('[data-sort]')) {
  th.querySelector('button').onclick = () => go(place().order === th.dataset.sort ? { reverse: !place().reverse } : { order: th.dataset.sort, reverse: false });
}
let typing;
$('filter').oninput = () => { clearTimeout(typing); typing = setTimeout(() => go({ q: $('filter').value.trim() }, true), 250); };
addEventListener('popstate', arrive);
addEventListener('resize', () => one?.resize());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => one?.plots.length && one.rebuild());
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const field = event.target.closest('input, select');
  if (field) { if (event.key === 'Escape') { field.blur(); (field.closest('.card') ?? $('main')).focus(); event.preventDefault(); } return; }
  const item = event.target.closest('.card, tbody tr')?.item ?? (one ? null : selected?.node.isConnected ? selected : null);
  const name = one?.name ?? item?.name, l = one?.limiter ?? item?.limiter;
  const all = one ? [] : [...(asCards ? $('cards').children : $('table').tBodies[0].children)];
  const step = by => all.length && all[Math.min(all.length - 1, Math.max(0, item ? all.indexOf(item.node) + by : 0))].focus();
  const range = RANGES[event.key - 1];
  switch (event.key) {
    case '/': if (one) return; $('filter').focus(); break;
    case 'j': step(1); break;
    case 'k': step(-1); break;
    case 'Enter': if (one || !item || event.target !== item.node) return; go({ limiter: name }); break;
    case 'Escape': if (!one) return; back(); break;
    case 'u': if (l) press(name, 'up'); break;
    case 'd': if (l) press(name, 'down'); break;
    case 's': (one?.press ?? item?.press)?.input?.focus(); break;
    case 'p': if (l) press(name, l.paused ? 'resume' : 'pause'); break;
    case '+': one?.zoom(0.5); break;
    case '-': one?.zoom(2); break;
    default: if (!one || !range) return; go({ minutes: range[0], from: null, to: null });
  }
  event.preventDefault();
});
setInterval(() => {
  if (one) one.tick(); else for (const item of visible) item.tick();
  // A connection can also just fall silent.
  if (lastFrame && Date.now() - lastFrame > 25000 && $('lost').hidden) { lost(); connect(); }
}, 1000);
arrive();
