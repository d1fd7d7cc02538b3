// Makes pages quicker; they work without it. No text becomes markup but rows that the server has written.
'use strict';
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const rowsOf = window.trustedTypes
    ? trustedTypes.createPolicy('ringback', { createHTML: (text) => text })
    : { createHTML: (text) => text };

  // Signing in by a link: its code stands behind the #, which no server ever sees.
  const signIn = $('[data-sign-in]');
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (signIn && code) {
    history.replaceState(null, '', location.pathname + location.search);
    signIn.elements.code.value = code;
    signIn.elements.token.required = false;
    signIn.submit();
    return;
  }

  // Times: those of this place as a title, and in words while they are young.
  const ago = (date) => {
    const s = Math.round((Date.now() - date) / 1000);
    if (s < 0 || s >= 3600) return '';
    return s < 60 ? `, ${s} s ago` : `, ${Math.floor(s / 60)} min ago`;
  };
  document.addEventListener('mouseover', ({ target }) => {
    const time = target.closest?.('time[datetime]');
    const date = time && new Date(time.dateTime);
    if (date) time.title = date.toLocaleString() + ago(date);
  });

  // Copying.
  for (const button of document.querySelectorAll('[data-copy], [data-copy-from]')) {
    if (!navigator.clipboard) break;
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener('click', async () => {
      try {
        const from = button.dataset.copyFrom;
        const text = from ? await (await fetch(from)).text() : document.getElementById(button.dataset.copy).textContent;
        await navigator.clipboard.writeText(text);
        button.textContent = 'Copied';
      } catch {
        button.textContent = 'Not copied';
      }
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }

  // A line of a body gives its path.
  for (const lines of document.querySelectorAll('[data-lines]')) {
    const said = $('#path');
    const all = [...lines.children];
    let at = -1;
    const choose = (to) => {
      if (!all[to]) return;
      all[at]?.setAttribute('aria-selected', 'false');
      at = to;
      all[at].setAttribute('aria-selected', 'true');
      all[at].id ||= `line-${Math.random().toString(36).slice(2)}`;
      lines.setAttribute('aria-activedescendant', all[at].id);
      all[at].scrollIntoView({ block: 'nearest' });
      if (!said || lines.getAttribute('aria-label') !== 'Body, line by line') return;
      said.textContent = '';
      for (const text of [all[at].dataset.path, all[at].dataset.cel]) {
        const path = document.createElement('code');
        path.textContent = text;
        const copy = document.createElement('button');
        copy.type = 'button';
        copy.textContent = 'Copy';
        copy.addEventListener('click', () => navigator.clipboard?.writeText(text));
        said.append(path, ' ', copy, ' ');
      }
    };
    lines.addEventListener('click', ({ target }) => choose(all.indexOf(target.closest('[role=option]'))));
    lines.addEventListener('keydown', (event) => {
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(to);
    });
  }

  // A secret of 32 random bytes, as Standard Webhooks has it: in its field, and copied.
  for (const button of document.querySelectorAll('[data-generate]')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      const bytes = crypto.getRandomValues(new Uint8Array(32));
      const secret = `whsec_${btoa(String.fromCharCode(...bytes))}`;
      document.getElementById(button.dataset.generate).value = secret;
      await navigator.clipboard?.writeText(secret).then(() => { button.textContent = 'Generated and copied'; }, () => { button.textContent = 'Generated'; });
    });
  }

  // Files: dropped, and how far they have come.
  const upload = $('[data-upload]');
  if (upload) {
    const drop = $('.drop', upload);
    const { file } = upload.elements;
    const said = $('#said');
    $('.dropped', upload).hidden = false;
    const say = (text) => {
      const line = document.createElement('p');
      line.className = 'muted';
      line.textContent = text;
      said.replaceChildren(line);
    };
    for (const kind of ['dragover', 'dragleave', 'drop']) drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', kind === 'dragover');
      if (kind !== 'drop' || !event.dataTransfer.files.length) return;
      file.files = event.dataTransfer.files;
      say(`${file.files[0].name}, ${file.files[0].size.toLocaleString('en')} bytes`);
    });
    upload.addEventListener('submit', (event) => {
      event.preventDefault();
      const request = new XMLHttpRequest();
      request.open('POST', upload.action);
      request.setRequestHeader('accept', 'text/html');
      request.upload.addEventListener('progress', ({ loaded, total }) => say(loaded < total ? `${Math.round(100 * loaded / total)} % sent` : 'Checking and compiling it…'));
      request.addEventListener('error', () => say('The connection broke off; nothing was kept.'));
      request.addEventListener('load', () => {
        if (request.responseURL !== upload.action) return void (location.href = request.responseURL);
        const page = document.createElement('template');
        page.innerHTML = rowsOf.createHTML(request.responseText);
        said.replaceChildren(...(page.content.querySelector('#said') ?? page.content.querySelector('main')).childNodes);
      });
      request.send(new FormData(upload, event.submitter));
    });
  }

  // The source of a flow: numbers of lines, mistakes at their place, and what was typed is kept.
  const editor = $('#editor');
  if (editor) {
    const field = $('#source');
    const numbers = $('.numbers');
    const action = editor.getAttribute('action');
    const kept = `ringback ${action} ${new URLSearchParams(location.search).get('plugin') ?? ''}`;
    const base = field.value;
    // What was written as a new one is deployed, too.
    if ($('[data-deployed]')) history.replaceState(null, '', location.pathname), Object.keys(sessionStorage).filter((key) => key === kept || key.startsWith('ringback /console/flows ')).forEach((key) => sessionStorage.removeItem(key));
    const draft = sessionStorage.getItem(kept);
    if (draft !== null && draft !== base && !$('#said').textContent.trim()) {
      field.value = draft;
      $('#said').textContent = 'This is what you typed before; it is not deployed.';
    }
    const count = () => {
      const wrong = new Set([...document.querySelectorAll('[data-line]')].map((link) => +link.dataset.line));
      const lines = field.value.split('\n').length;
      numbers.replaceChildren(...Array.from({ length: lines }, (_, at) => {
        const line = document.createElement('li');
        line.textContent = at + 1;
        line.className = wrong.has(at + 1) ? 'wrong' : '';
        return line;
      }));
    };
    let [timer, asked] = [0, 0];
    const ask = async () => {
      const mine = ++asked;
      const form = new FormData(editor);
      form.set('do', 'check');
      const answer = await fetch(editor.action, { method: 'POST', body: new URLSearchParams(form) });
      if (mine !== asked || answer.redirected || answer.status === 401) return;
      const page = document.createElement('template');
      page.innerHTML = rowsOf.createHTML(await answer.text());
      $('#said').replaceChildren(...page.content.querySelector('#said').childNodes);
      count();
    };
    field.addEventListener('input', () => {
      sessionStorage.setItem(kept, field.value);
      count();
      clearTimeout(timer);
      timer = setTimeout(ask, 400);
    });
    field.addEventListener('scroll', () => { numbers.scrollTop = field.scrollTop; });
    document.addEventListener('click', (event) => {
      const { line, column } = event.target.closest('[data-line]')?.dataset ?? {};
      if (!line) return;
      event.preventDefault();
      const lines = field.value.split('\n');
      const start = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
      const from = start + [...(lines[line - 1] ?? '')].slice(0, column - 1).join('').length;
      field.focus();
      field.setSelectionRange(from, start + (lines[line - 1] ?? '').length);
      field.scrollTop = (line - 6) * parseFloat(getComputedStyle(field).lineHeight);
    });
    field.addEventListener('keydown', (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === 's') event.preventDefault(), editor.requestSubmit($('[value=deploy]', editor));
    });
    count();
  }

  // Rows: j, k and Enter.
  const table = $('#rows');
  const body = table?.tBodies[0];
  let at = null;
  const move = (by) => {
    const to = at?.isConnected ? (by > 0 ? at.nextElementSibling : at.previousElementSibling) : body?.rows[0];
    if (!to) return;
    at?.classList.remove('at');
    at = to;
    at.classList.add('at');
    $('a', at).focus({ preventScroll: true });
    at.scrollIntoView({ block: 'nearest' });
  };
  let g = 0;
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || target.closest('input, select, textarea, dialog')) return;
    const after = Date.now() - g < 1000 ? { c: '/console/callbacks', e: '/console/executions', f: '/console/flows', p: '/console/plugins' }[key] : '';
    g = key === 'g' ? Date.now() : 0;
    if (after) location.href = after;
    else if (key === '/' && $('#search')) event.preventDefault(), $('#search').focus();
    else if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'l') $('#live')?.click();
    else if (key === 'r') $('#replay')?.click();
    else if (key === '?') $('#keys')?.showModal();
  });

  // Live rows. One connection serves all pages of a browser that look at the same: whoever has the lock listens, and tells the others.
  if (!table?.dataset.tail) return;
  const ROWS = 200;
  const live = $('#live');
  const said = $('#live-said');
  const channel = new BroadcastChannel(table.dataset.tail);
  let [after, waiting, came, on, lost] = [BigInt(table.dataset.after), [], 0, true, false];
  let last = [];
  live.hidden = false;
  const isBusy = () => document.hidden || scrollY > 200 || body.matches(':hover') || body.contains(document.activeElement);
  const say = () => {
    live.classList.toggle('lost', lost);
    const some = (n, what) => (n ? `${n} ${what}` : '');
    said.textContent = lost ? 'The connection is lost; trying again' : on ? waiting.length ? some(waiting.length, 'new') : some(came, 'came in since you opened this page') : 'not live';
  };
  const put = (html) => {
    const template = document.createElement('template');
    template.innerHTML = rowsOf.createHTML(html);
    const row = template.content.firstElementChild;
    const known = document.getElementById(row.id);
    if (known) return known.replaceWith(row);
    row.classList.add('new');
    body.prepend(row);
    came += 1;
    while (body.rows.length > ROWS) body.lastElementChild.remove();
    const scroll = table.parentElement;
    if (scroll.hidden) scroll.hidden = false, $('#empty')?.remove();
  };
  const show = () => {
    if (!on || isBusy()) return say();
    waiting.splice(0).slice(-ROWS).forEach(put);
    say();
  };
  const hear = ({ id, kind, data }) => {
    if (BigInt(id) <= after) return;
    after = BigInt(id);
    if (kind === 'missed') return on && location.reload();
    if (kind === 'row') waiting.push(data), waiting.length > ROWS && waiting.shift();
    show();
  };
  channel.onmessage = ({ data }) => {
    if (data.ask !== undefined) last.filter(({ id }) => BigInt(id) > BigInt(data.ask)).forEach((told) => channel.postMessage(told));
    else if (data.lost !== undefined) lost = data.lost, say();
    else hear(data);
  };
  const listen = () => new Promise(() => {
    const tell = (told) => {
      last = [...last.slice(-500), told];
      hear(told);
      channel.postMessage(told);
    };
    const connection = (is) => {
      lost = is;
      channel.postMessage({ lost });
      say();
    };
    const open = () => {
      const url = table.dataset.tail;
      const source = new EventSource(`${url}${url.includes('?') ? '&' : '?'}after=${after}`);
      source.onopen = () => connection(false);
      source.onerror = () => {
        connection(true);
        // The browser itself comes back only where it was let in.
        if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
      };
      for (const kind of ['row', 'missed']) source.addEventListener(kind, ({ lastEventId: id, data }) => tell({ id, kind, data }));
    };
    open();
  });
  if (navigator.locks) navigator.locks.request(table.dataset.tail, listen);
  else listen();
  channel.postMessage({ ask: String(after) });
  live.addEventListener('click', () => {
    on = !on;
    live.setAttribute('aria-pressed', String(on));
    if (on) body.parentElement.parentElement.blur?.(), scrollTo(0, 0);
    show();
  });
  setInterval(show, 500);
})();
