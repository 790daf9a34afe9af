// The page: totals, the matrix with its filters, and the dialog that opens a scenario.

const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
const targets = data.targets.map((target) => target.name);
const verdicts = Object.keys(WORDS);
const LEVELS = ['MUST', 'SHOULD', 'INFO'];

// -- rows -----------------------------------------------------------------------------------------

const abouts = new Map(data.scenarios.map((about) => [about.key, about]));
const rows = new Map();
for (const result of data.results) {
  if (!rows.has(result.key)) {
    const { key, claim, level, refs } = result;
    rows.set(key, { key, about: abouts.get(key) || { key, claim, level, refs, why: '' }, cells: [] });
  }
  rows.get(result.key).cells.push(result);
}
for (const row of rows.values()) {
  row.cells.sort((a, b) => targets.indexOf(a.target) - targets.indexOf(b.target));
  row.theme = row.key.split('.')[0];
  row.words = [row.key, row.about.claim, row.about.why, ...row.about.refs].join('\n').toLowerCase();
}

const column = (name) => data.targets.find((target) => target.name === name);
function comparisonOf(cell) {
  const own = column(cell.target);
  if (!data.differential || own.baseline) return null;
  return data.differential.comparisons.find((one) => one.scenario === cell.key && one.left === own.known_as) || null;
}
const differs = (cell) => { const one = comparisonOf(cell); return Boolean(one && (one.unexplained.length || one.explained.length)); };
const compare = (cell) => differences(comparisonOf(cell), cell.target, data.differential && data.differential.baseline);

// -- header and totals ----------------------------------------------------------------------------

function count(number, one, many = `${one}s`) { return `${number} ${number === 1 ? one : many}`; }

byId('about').append([
  count(rows.size, 'claim'), count(targets.length, 'target'), data.generated.replace('T', ' ').replace('Z', ' UTC'),
  data.seconds ? `${data.seconds} s` : '', data.pullproof && `version ${data.pullproof}`,
].filter(Boolean).join(' · '));

function bar(counts) {
  const total = verdicts.reduce((sum, verdict) => sum + (counts[verdict] || 0), 0);
  const node = el('span', { class: 'bar', 'aria-hidden': 'true' });
  for (const verdict of verdicts) {
    if (!counts[verdict]) continue;
    const part = el('span', { class: verdictClass(verdict) });
    part.style.flexGrow = counts[verdict] / total;
    node.append(part);
  }
  return node;
}

const counted = (counts) => verdicts.filter((verdict) => counts[verdict])
  .map((verdict) => `${counts[verdict]} ${WORDS[verdict]}`).join(', ');

function card(target) {
  const { name, implementation, release, baseline } = target;
  const levels = data.levels[name] || {};
  const kind = name === 'model' ? 'client model, no registry involved'
    : [implementation, release, baseline ? 'the baseline' : ''].filter(Boolean).join(' · ');
  return el('article', { class: 'card' },
    el('h2', {}, name), el('p', { class: 'quiet' }, kind),
    bar(data.totals[name]),
    el('ul', { class: 'counts' }, ...verdicts.filter((verdict) => data.totals[name][verdict]).map((verdict) =>
      el('li', { class: verdictClass(verdict) }, el('b', {}, String(data.totals[name][verdict])), ` ${WORDS[verdict]}`))),
    el('table', { class: 'levels' }, el('tbody', {}, ...LEVELS.filter((level) => levels[level]).map((level) =>
      el('tr', {}, el('th', { scope: 'row' }, level), el('td', {}, bar(levels[level])),
        el('td', {}, el('span', { title: counted(levels[level]) }, holding(levels[level]))))))));
}

function holding(counts) {
  const asked = (counts.holds || 0) + (counts.deviates || 0) + (counts.fails || 0);
  return asked ? `${counts.holds || 0} of ${asked} hold` : 'not asked';
}

byId('totals').append(...data.targets.map(card));

const link = (key, target) => `#${encodeURIComponent(key)}${target ? `:${encodeURIComponent(target)}` : ''}`;
const failures = data.results.filter((result) => result.verdict === 'fails');
const deviations = data.results.filter((result) => result.verdict === 'deviates');
const flaky = data.results.filter(isFlaky);
const unexplained = data.differential
  ? data.differential.comparisons.reduce((sum, one) => sum + one.unexplained.length, 0) : 0;
const general = [...(data.unequal || []), ...(data.differential ? data.differential.stale : [])];
const incomplete = data.incomplete && `INCOMPLETE ${data.incomplete.done}/${data.incomplete.planned || '?'}`;
const troubles = [
  incomplete, failures.length && `${failures.length} failed`, unexplained && `${count(unexplained, 'difference')} unexplained`,
  general.length && count(general.length, 'further finding'),
].filter(Boolean);
byId('outcome').append([...(troubles.length ? troubles : ['All as expected']), ...(flaky.length ? [`${flaky.length} FLAKY`] : [])].join(', '));
byId('outcome').className = troubles.length ? 'fails' : flaky.length ? 'deviates' : 'holds';

const named = (results) => [...new Set(results.map((result) => result.target))].join(' and ');

// One sentence for readers who read no further.
function conclusion() {
  if (incomplete) return 'The run ended early: it proves nothing about claims that did not run.';
  if (failures.length) return `Do not roll out before the failures of ${named(failures)} are understood.`;
  if (unexplained || general.length) return 'No claim failed, but targets differ without an explanation.';
  const must = deviations.filter((result) => result.level === 'MUST').length;
  if (!deviations.length) return 'Every claim that applies holds on every target.';
  return `No surprises: ${count(deviations.length, 'known deviation')} of ${named(deviations)}${must ? `, ${must} from a MUST` : ''}.`;
}
byId('advice').append(conclusion());

const MOST_FAILURES = 20, MOST_RISKS = 5;

function items(id, nodes, most) {
  byId(id).hidden = !nodes.length;
  byId(id).querySelector('ol').append(...nodes.slice(0, most));
  if (nodes.length > most) byId(id).append(el('p', { class: 'quiet' }, `and ${nodes.length - most} more in the matrix`));
}

items('failures', failures.map((result) => el('li', {},
  el('a', { href: link(result.key, result.target) }, result.claim), ' ', levelBadge(result.level),
  el('span', { class: 'meta' }, el('code', {}, result.key), ` on ${result.target}: `, result.problems[0] || ''))), MOST_FAILURES);

// Deviations with one cause are one risk: those that break a MUST first, then those that break most claims.
const risks = new Map();
for (const result of deviations) {
  const risk = risks.get(result.does) || { does: result.does, results: [] };
  risk.results.push(result);
  risks.set(result.does, risk);
}
for (const risk of risks.values()) {
  risk.results.sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
  risk.level = risk.results[0].level;
  risk.claims = new Set(risk.results.map((result) => result.key)).size;
}
const ranked = [...risks.values()].sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) || b.claims - a.claims);
items('risks', ranked.map(({ does, results, level, claims }) => el('li', {},
  el('a', { href: link(results[0].key, results[0].target) }, `${named(results)}: `, ...prose(does).childNodes), ' ', levelBadge(level),
  el('span', { class: 'meta' }, `affects ${count(claims, 'claim')}`, results[0].advice ? `. ${results[0].advice}` : ''))), MOST_RISKS);
if (general.length) {
  byId('general').hidden = false;
  byId('general').append(el('ul', { class: 'problems' }, ...general.map((line) => el('li', {}, line))));
}

// -- the matrix -----------------------------------------------------------------------------------

const matrix = byId('matrix');
// A long name is broken where its parts end.
const broken = (name) => name.split(/(?<=[@:/])/).flatMap((part, index) => (index ? [el('wbr'), part] : [part]));
matrix.tHead.append(el('tr', {}, el('th', { scope: 'col' }, 'Claim'),
  ...targets.map((name) => el('th', { scope: 'col', 'data-target': name }, ...broken(name)))));

function cellNode(row, name) {
  const cell = row.cells.find((one) => one.target === name);
  const node = el('td', { 'data-target': name });
  if (!cell) return node;
  node.append(el('span', { class: 'label', 'aria-hidden': 'true' }, name),
    el('a', { href: link(row.key, name), tabindex: '-1' }, pill(cell.verdict)), flakyMark(cell));
  if (differs(cell)) node.append(el('span', { class: 'differs', title: 'differs from the baseline' }, '≠'));
  return node;
}

function rowNode(row) {
  const named = /^([^[]*)\[(.*)\]$/s.exec(row.key);
  const claim = el('th', { scope: 'row' },
    el('a', { class: 'claim', href: link(row.key) }, row.about.claim, named ? el('span', { class: 'case' }, ` (${named[2]})`) : null),
    el('span', { class: 'meta' }, levelBadge(row.about.level), ' ', el('code', {}, row.key)));
  row.node = el('tr', {}, claim, ...targets.map((name) => cellNode(row, name)));
  row.link = claim.querySelector('a');
  row.node.addEventListener('click', (event) => { if (!event.target.closest('a')) location.hash = link(row.key); });
  return row.node;
}

const themes = [...new Set([...rows.values()].map((row) => row.theme))];
const bodies = themes.map((theme) => {
  const own = [...rows.values()].filter((row) => row.theme === theme);
  const tally = el('span', { class: 'tally' });
  const body = el('tbody', {}, el('tr', { class: 'theme' },
    el('th', { scope: 'rowgroup', colspan: targets.length + 1 }, theme, tally)), ...own.map(rowNode));
  matrix.append(body);
  return { body, own, tally };
});

// -- filters --------------------------------------------------------------------------------------

const form = byId('filters');
byId('of-theme').append(...themes.map((theme) => el('option', { value: theme }, theme)));

function chips(id, names, label = (name) => name) {
  for (const name of names) {
    byId(id).append(el('label', { class: 'chip' }, el('input', { type: 'checkbox', value: name }), el('span', {}, label(name))));
  }
}
chips('of-level', LEVELS.filter((level) => [...rows.values()].some((row) => row.about.level === level)));
chips('of-verdict', verdicts.filter((verdict) => data.results.some((result) => result.verdict === verdict)),
  (verdict) => `${SIGNS[verdict]} ${WORDS[verdict]}`);
chips('of-target', targets);
if (targets.length > 1) chips('of-kind', ['disagree'], () => 'targets disagree');
if (data.differential) chips('of-kind', ['differs'], () => 'differs from baseline');
if (flaky.length) chips('of-kind', ['flaky'], () => 'FLAKY');
byId('of-kind').hidden = !byId('of-kind').querySelector('input');
byId('of-target').hidden = targets.length < 2;

const chosenIn = (id) => [...byId(id).querySelectorAll('input:checked')].map((input) => input.value);
let visible = [];

function filter() {
  const words = byId('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  const theme = byId('of-theme').value;
  const levels = chosenIn('of-level'), wanted = chosenIn('of-verdict'), kinds = chosenIn('of-kind');
  const only = chosenIn('of-target'), columns = only.length ? only : targets;
  visible = [];
  for (const { body, own, tally } of bodies) {
    let left = 0;
    for (const row of own) {
      const cells = row.cells.filter((cell) => columns.includes(cell.target));
      const fits = cells.length > 0 && (!theme || row.theme === theme)
        && (!levels.length || levels.includes(row.about.level))
        && (!wanted.length || cells.some((cell) => wanted.includes(cell.verdict)))
        && (!kinds.includes('disagree') || new Set(cells.map((cell) => cell.verdict)).size > 1)
        && (!kinds.includes('differs') || cells.some(differs))
        && (!kinds.includes('flaky') || cells.some(isFlaky))
        && words.every((word) => row.words.includes(word));
      row.node.hidden = !fits;
      if (fits) { visible.push(row); left += 1; }
    }
    body.hidden = !left;
    tally.textContent = left === own.length ? String(left) : `${left} of ${own.length}`;
  }
  for (const node of matrix.querySelectorAll('[data-target]')) node.hidden = !columns.includes(node.dataset.target);
  byId('count').textContent = `${visible.length} of ${count(rows.size, 'claim')}`;
  form.querySelector('[type=reset]').hidden = !(words.length || theme || form.querySelector('input:checked'));
  byId('nothing').hidden = visible.length > 0;
  matrix.hidden = !visible.length;
}

form.addEventListener('input', filter);
form.addEventListener('submit', (event) => event.preventDefault());
form.addEventListener('reset', () => setTimeout(filter));
byId('nothing').querySelector('button').addEventListener('click', () => form.reset());
filter();

// -- the dialog -----------------------------------------------------------------------------------

const dialog = byId('scenario');
let opened = null;

function show(row, index) {
  opened = row;
  const content = el('div', { class: 'content' });
  const choose = (chosen, focus = true) => {
    content.replaceChildren(...scenarioContent(row, chosen, compare, choose));
    history.replaceState(null, '', link(row.key, chosen ? row.cells[chosen].target : ''));
    if (focus) content.querySelector('[role=tab][aria-selected=true]').focus();
  };
  const step = (by, words) => {
    const node = el('button', { type: 'button', 'aria-label': words, title: words }, by < 0 ? '↑' : '↓');
    node.disabled = !neighbour(by);
    node.addEventListener('click', () => move(by));
    return node;
  };
  const close = el('button', { type: 'button', 'aria-label': 'Close (Escape)', title: 'Close (Escape)', class: 'close' }, '✕');
  close.addEventListener('click', () => dialog.close());
  dialog.replaceChildren(el('div', { class: 'bar-top' },
    step(-1, 'Previous claim (k)'), step(1, 'Next claim (j)'),
    el('span', { class: 'quiet' }, visible.includes(row) ? `${visible.indexOf(row) + 1} of ${visible.length}` : ''), close), content);
  if (!dialog.open) dialog.showModal();
  choose(index, false);
  dialog.scrollTop = 0;
  close.focus();
}

function neighbour(by) {
  const at = visible.indexOf(opened);
  return at < 0 ? visible[0] : visible[at + by];
}

function move(by) {
  const next = neighbour(by);
  if (next) show(next, 0);
}

function route() {
  let key = '', target = '';
  try { [key, target] = location.hash.slice(1).split(':').map(decodeURIComponent); } catch { /* no link of ours */ }
  const row = rows.get(key);
  if (row) show(row, Math.max(0, row.cells.findIndex((cell) => cell.target === target)));
  else if (dialog.open) dialog.close();
}

dialog.addEventListener('close', () => {
  const row = opened;
  opened = null;
  if (row && location.hash) history.replaceState(null, '', location.href.split('#')[0]);
  if (row && !row.node.hidden) { row.link.focus(); row.link.scrollIntoView({ block: 'nearest' }); }
});
dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });

// -- keys -----------------------------------------------------------------------------------------

function focusRow(by) {
  const at = visible.findIndex((row) => row.link === document.activeElement || row.node.contains(document.activeElement));
  const next = at < 0 ? visible[by > 0 ? 0 : visible.length - 1] : visible[at + by];
  if (next) { next.link.focus(); next.link.scrollIntoView({ block: 'nearest' }); }
}

function chooseTab(by) {
  const tabs = [...dialog.querySelectorAll('[role=tab]')];
  const at = tabs.findIndex((tab) => tab.getAttribute('aria-selected') === 'true');
  tabs[(at + by + tabs.length) % tabs.length].click();
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches('input[type=search], select, textarea');
  const inTabs = event.target.matches('[role=tab]');
  const act = (work) => { event.preventDefault(); work(); };
  if (dialog.open) {
    if (event.key === 'j') act(() => move(1));
    else if (event.key === 'k') act(() => move(-1));
    else if (inTabs && event.key === 'ArrowRight') act(() => chooseTab(1));
    else if (inTabs && event.key === 'ArrowLeft') act(() => chooseTab(-1));
    return;
  }
  if (typing) {
    if (event.key === 'Escape' && event.target === byId('search')) act(() => {
      if (byId('search').value) { byId('search').value = ''; filter(); } else focusRow(1);
    });
    if (event.key === 'ArrowDown' && event.target === byId('search')) act(() => focusRow(1));
    return;
  }
  const inRow = event.target.closest('#matrix');
  if (event.key === '/') act(() => { byId('search').focus(); byId('search').select(); });
  else if (event.key === 'j' || (inRow && event.key === 'ArrowDown')) act(() => focusRow(1));
  else if (event.key === 'k' || (inRow && event.key === 'ArrowUp')) act(() => focusRow(-1));
});

// -- light and dark -------------------------------------------------------------------------------

const themeButton = byId('theme');
const system = matchMedia('(prefers-color-scheme: dark)');
const stored = () => { try { return localStorage.getItem('pullproof-theme'); } catch { return null; } };

function applyTheme(chosen) {
  const dark = chosen ? chosen === 'dark' : system.matches;
  if (chosen) document.documentElement.dataset.theme = chosen;
  themeButton.textContent = dark ? '☀ Light' : '☾ Dark';
  themeButton.setAttribute('aria-label', `Switch to ${dark ? 'light' : 'dark'}`);
  themeButton.onclick = () => {
    const next = dark ? 'light' : 'dark';
    try { localStorage.setItem('pullproof-theme', next); } catch { /* for this visit only, then */ }
    applyTheme(next);
  };
}
applyTheme(stored());
system.addEventListener('change', () => applyTheme(stored()));

// -- traces ---------------------------------------------------------------------------------------

// They are compressed: they are most of the page, and few are read.
async function unpackTraces() {
  const bytes = Uint8Array.from(atob(byId('traces').textContent), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  const traces = await new Response(plain).json();
  data.results.forEach((result, index) => { result.trace = traces[index]; });
}

await unpackTraces();
addEventListener('hashchange', route);
route();
