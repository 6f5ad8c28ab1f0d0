// ---- asking the program
let token = sessionStorage.getItem('token') || '';
let ahead = 0, lastFrame = 0;
// The program's clock: this machine's may differ.
const now = () => Date.now() + ahead;

class Refused extends Error { constructor(status, words) { super(words); this.status = status; } }
async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  let answer;
  try { answer = await fetch(path, { ...options, headers }); }
  catch (error) { if (error.name === 'AbortError') throw error; throw new Error('the program does not answer'); }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
    throw new Refused(answer.status, told.error);
  }
  return answer;
}
/// As `ask`; asks the user for the token when that is what is missing, until it is right or not given.
async function askWithToken(path, options) {
  for (;;) {
    try { return await ask(path, options); }
    catch (error) {
      if (error.status !== 401 || !await wantToken(error.message)) throw error;
    }
  }
}
const post = async (path, body) => (await askWithToken(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json();

let asking = null;
function wantToken(why) {
  asking ??= new Promise(resolve => {
    const dialog = $('token-dialog');
    $('token-why').textContent = token ? `Not accepted: ${why}.` : 'It was set where the program starts its monitor. It stays in this tab only.';
    $('token').value = '';
    dialog.returnValue = 'no';
    dialog.onclose = () => {
      asking = null;
      if (dialog.returnValue === 'yes' && $('token').value) {
        token = $('token').value.trim();
        sessionStorage.setItem('token', token);
        resolve(true);
      } else resolve(false);
    };
    dialog.showModal();
    $('token').focus();
  });
  return asking;
}

// ---- the stream of frames
let streaming = null, retry = 1000, again = 0;
function connect() {
  streaming?.abort();
  clearTimeout(again);
  const mine = streaming = new AbortController(), p = place();
  const q = p.limiter === null ? { q: p.q, order: p.order, reverse: p.reverse, limit: 1000 } : { limiter: p.limiter, limit: 0 };
  follow(`/api/events?${new URLSearchParams(q)}`, mine.signal).catch(error => {
    if (mine !== streaming || error.name === 'AbortError') return;
    lost(error.status === 401 ? 'The token is needed. Reload the page to give it.' : null);
    again = setTimeout(connect, retry);
    retry = Math.min(retry * 1.6, 10000);
  });
}
async function follow(path, signal) {
  const answer = await askWithToken(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ''; ;) {
    const { value, done } = await reader.read();
    if (done) throw new Error('the stream has ended');
    text += value;
    // Of frames that came together the newest is enough.
    const parts = text.split('\n\n');
    text = parts.pop();
    const last = parts.pop();
    if (!last) continue;
    const frame = JSON.parse(last.slice(last.indexOf('data: ') + 6));
    retry = 1000;
    lastFrame = Date.now();
    ahead = frame.at_ms - lastFrame;
    show(frame);
  }
}
function lost(words) {
  $('live').className = 'chip bad';
  put($('live'), 'reconnecting');
  $('lost').hidden = false;
  put($('lost'), words ?? (lastFrame
    ? `Connection lost: what is shown is from ${clock(lastFrame)}. Reconnecting …`
    : 'The program does not answer. Trying again …'));
  document.body.classList.add('stale');
}
