// Refreshes the page in place and adds keys. Without it, the page has the same content.
'use strict';

const REFRESH_MILLISECONDS = 10_000;
const live = document.getElementById('live');
let isRefreshing = false;

// Refresh: the main content of the same URL replaces the present one. Focus, open details, the form and the place on the
// screen stay as they are.

async function refresh() {
  if (document.hidden || isRefreshing || document.getElementById('probed')) return;
  isRefreshing = true;
  try {
    const response = await fetch(location.href, { headers: { Accept: 'text/html' }, signal: AbortSignal.timeout(REFRESH_MILLISECONDS) });
    if (response.status >= 500) throw new Error(String(response.status));
    const next = new DOMParser().parseFromString(await response.text(), 'text/html');
    const main = next.querySelector('main');
    if (!main) throw new Error('no content');
    live.classList.remove('lost');
    live.replaceChildren(...next.getElementById('live').cloneNode(true).childNodes);
    if (isReading()) return;
    document.title = next.title;
    replaceMain(main);
  } catch {
    lost();
  } finally {
    isRefreshing = false;
  }
}

// Replaced text would lose its selection.
function isReading() {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed;
}

function replaceMain(next) {
  const main = document.getElementById('main');
  const mark = landmark(main);
  const focus = focusPath(main);
  for (const details of main.querySelectorAll('details[id]')) {
    const same = next.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  const form = main.querySelector('#filters');
  const nextForm = next.querySelector('#filters');
  // Nor may the result of a probe, or the wait for it.
  const probe = main.querySelector('#probe[data-used]');
  if (probe) next.querySelector('#probe')?.replaceWith(probe);
  main.replaceChildren(...document.adoptNode(next).childNodes);
  // What has been typed must not be lost.
  if (form && nextForm && form.contains(focus?.element)) nextForm.replaceWith(form);
  decorate(main);
  restoreFocus(main, focus);
  if (mark) {
    const same = document.getElementById(mark.id);
    if (same) scrollBy(0, same.getBoundingClientRect().top - mark.top);
  }
}

// The first element on the screen that the next content has, too.
function landmark(main) {
  for (const element of main.querySelectorAll('[id]')) {
    const { top, bottom } = element.getBoundingClientRect();
    if (bottom > 0 && element.tagName !== 'DATALIST') return { id: element.id, top };
  }
  return null;
}

function focusPath(main) {
  const element = document.activeElement;
  if (!main.contains(element) || element === main) return null;
  const holder = element.closest('[id]');
  const links = holder ? [...holder.querySelectorAll('a, button, summary')] : [];
  return { element, id: holder?.id, index: links.indexOf(element) };
}

function restoreFocus(main, focus) {
  if (!focus) return;
  if (main.contains(focus.element)) return focus.element.focus({ preventScroll: true });
  const holder = focus.id && document.getElementById(focus.id);
  const same = focus.index < 0 ? holder : holder?.querySelectorAll('a, button, summary')[focus.index];
  (same ?? main).focus({ preventScroll: true });
}

function lost() {
  live.classList.add('lost');
  const time = live.querySelector('time');
  const text = document.createElement('span');
  text.append(`${live.dataset.lost} `);
  if (time) text.append(time.cloneNode(true));
  if (live.textContent.trim() !== text.textContent.trim()) live.replaceChildren(text);
}

// Buttons that copy commands.

function decorate(root) {
  for (const command of root.querySelectorAll('.command')) {
    if (command.querySelector('button')) continue;
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', `Copy ${command.querySelector('code').textContent}`);
    button.addEventListener('click', () => copy(command.querySelector('code'), button));
    command.append(button);
  }
}

async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
  } catch {
    // Without TLS there is no clipboard; the selection can be copied.
    document.getSelection().selectAllChildren(code);
    button.textContent = 'Selected';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
}

// Probes: the result appears in place.

document.addEventListener('submit', async (event) => {
  const probe = event.target.closest('#probe');
  if (!probe) return;
  event.preventDefault();
  const [button, result] = [probe.querySelector('button'), probe.querySelector('.probed')];
  if (button.getAttribute('aria-disabled') === 'true') return;
  probe.dataset.used = '';
  button.setAttribute('aria-disabled', 'true');
  result.textContent = 'Probing ..';
  try {
    const response = await fetch(event.target.action, { method: 'POST', headers: { Accept: 'text/html' } });
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    const outcome = page.getElementById('outcome');
    if (!outcome) throw new Error(String(response.status));
    const heading = document.createElement('p');
    heading.append(...outcome.childNodes);
    const timeline = page.querySelector('.timeline');
    result.replaceChildren(heading, ...(timeline ? [document.adoptNode(timeline)] : []));
  } catch {
    result.textContent = 'portprobe has not responded; try again.';
  } finally {
    button.removeAttribute('aria-disabled');
  }
});

// Keys: / searches, j and k or the arrows go from target to target.

function go(step) {
  const links = [...document.querySelectorAll('#main .card h3 a, #main .list a.go, #main .concern li a')];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const firstBelow = links.findIndex((link) => link.getBoundingClientRect().top > 0);
  const next = at < 0 ? Math.max(firstBelow, 0) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
  links[next].scrollIntoView({ block: 'nearest' });
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea')) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const isOnLink = document.activeElement?.closest('#main a');
  if (event.key === '/') {
    const search = document.getElementById('text');
    if (search) { search.focus(); search.select(); } else return;
  } else if (event.key === 'j' || (event.key === 'ArrowDown' && isOnLink)) {
    go(1);
  } else if (event.key === 'k' || (event.key === 'ArrowUp' && isOnLink)) {
    go(-1);
  } else {
    return;
  }
  event.preventDefault();
});

decorate(document);
setInterval(refresh, REFRESH_MILLISECONDS);
document.addEventListener('visibilitychange', refresh);
