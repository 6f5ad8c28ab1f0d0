// ---- presses, what came of them, and taking them back
let undoing = [], quiet = 0;
function say(words, undo = [], kind = '') {
  $('toast').hidden = false;
  $('toast').className = kind;
  put($('said'), words);
  undoing = undo;
  $('undo').hidden = undo.length === 0;
  clearTimeout(quiet);
  quiet = setTimeout(hush, undo.length ? 30000 : 12000);
}
function hush() {
  if ($('toast').matches(':focus-within')) { quiet = setTimeout(hush, 5000); return; }
  $('toast').hidden = true;
}
/// What takes a press back: not if somebody else has changed it meanwhile.
function undoOf(one) {
  switch (one.result) {
    case 'changed': return [{ limiter: one.name, action: 'set', ceiling: one.from, expect: one.to }];
    case 'paused': return [{ limiter: one.name, action: 'resume' }];
    case 'resumed': return [{ limiter: one.name, action: 'pause' }];
    default: return [];
  }
}
const kinds = { held: 'held', unchanged: 'same', paused: 'held' };
async function press(name, action, ceiling) {
  const l = known(name);
  if (action === 'set' && (!Number.isInteger(ceiling) || l && (ceiling < l.min || ceiling > l.max))) {
    return say(`${shown(name)}: ${Number.isInteger(ceiling) ? `${ceiling} is out of range: ` : ''}give a number from ${l.min} to ${l.max}`, [], 'bad');
  }
  if (action === 'pause' && !await confirmed(`Pause ${shown(name)}?`, 'Nothing is granted until it is resumed. What is in flight goes on.', 'Pause')) return;
  try {
    const one = await post('/api/adjust', { limiter: name, action, ceiling });
    say(`${shown(name)}: ${one.said}`, undoOf(one), kinds[one.result] ?? '');
    pressed(one);
  } catch (error) { say(`${shown(name)}: not done: ${error.message}`, [], 'bad'); }
}
async function pressAll(action) {
  const all = $('count').textContent, word = action === 'up' ? 'Raise' : 'Lower';
  if (!await confirmed(`${word} all ${all} limiters by one step?`, 'Each by its own step, unless its hold is in the way; also those that the filter hides.', `${word} all`)) return;
  try {
    const came = await post('/api/adjust-all', { action });
    const count = result => came.filter(one => one.result === result).length;
    came.forEach(pressed);
    say(`All ${action}: ${count('changed')} changed, ${count('held')} held, ${count('unchanged')} unchanged`, came.flatMap(undoOf));
  } catch (error) { say(`All ${action}: not done: ${error.message}`, [], 'bad'); }
}
async function undo() {
  const list = undoing;
  undoing = [];
  $('undo').hidden = true;
  let done = 0, said = '', failed = '';
  for (const one of list) {
    try { const came = await post('/api/adjust', one); pressed(came); said = `${shown(one.limiter)}: ${came.said}`; done += 1; }
    catch (error) { failed = `${shown(one.limiter)}: not undone: ${error.message}`; }
  }
  say(list.length === 1 ? said || failed : `Undone: ${done} of ${list.length}${failed ? `; ${failed}` : ''}`, [], failed ? 'bad' : '');
}
function confirmed(title, text, yes) {
  const dialog = $('confirm');
  put($('confirm-title'), title); put($('confirm-text'), text); put($('confirm-yes'), yes);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise(resolve => { dialog.onclose = () => resolve(dialog.returnValue === 'yes'); });
}
/// The buttons of one limiter.
class Press {
  constructor(box, name) {
    box.replaceChildren($('press').content.cloneNode(true));
    this.name = name;
    this.button = {};
    for (const node of box.querySelectorAll('[data-do]')) this.button[node.dataset.do] = node;
    this.input = box.querySelector('input');
    this.input.setAttribute('aria-label', `New ceiling of ${shown(name)}`);
    this.button.set.setAttribute('aria-label', `Set: ${shown(name)}`);
    for (const action of ['up', 'down']) this.button[action].onclick = () => press(name, action);
    this.button.pause.onclick = () => press(name, this.paused ? 'resume' : 'pause');
    box.querySelector('form').onsubmit = event => {
      event.preventDefault();
      const typed = this.input.value.trim();
      press(name, 'set', typed === '' ? NaN : Number(typed)).then(() => { this.input.value = ''; });
    };
  }
  update(l) {
    this.paused = l.paused;
    const label = (button, words) => { put(button, words); button.setAttribute('aria-label', `${words}: ${shown(this.name)}`); };
    label(this.button.down, `Down ${big(l.down)}`);
    label(this.button.up, `Up ${big(l.up)}`);
    label(this.button.pause, l.paused ? 'Resume' : 'Pause');
    this.button.down.disabled = l.setting <= l.min;
    this.button.up.disabled = l.setting >= l.max;
    Object.assign(this.input, { placeholder: l.setting, min: l.min, max: l.max });
  }
}
