// The details of one scenario: its claim and reason, what each target showed, and what to do.

const WORDS = { holds: 'holds', deviates: 'deviates', fails: 'fails', 'n/a': 'n/a' };
const SIGNS = { holds: '✓', deviates: '≈', fails: '✕', 'n/a': '–' };
const REPOSITORIES = {
  d: 'distribution/distribution', containerd: 'containerd/containerd', harbor: 'goharbor/harbor',
  moby: 'moby/moby', quay: 'quay/quay', spegel: 'spegel-org/spegel', zot: 'project-zot/zot',
  rpardini: 'rpardini/docker-registry-proxy',
};

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(key, '');
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

const pill = (verdict) => el('span', { class: `pill ${verdictClass(verdict)}` },
  el('span', { 'aria-hidden': 'true' }, SIGNS[verdict] || '?'), ` ${WORDS[verdict] || verdict}`);

const verdictClass = (verdict) => (verdict === 'n/a' ? 'na' : Object.hasOwn(WORDS, verdict) ? verdict : 'na');

const isFlaky = (result) => result.earlier.length > 0 && result.verdict !== 'fails';

const flakyMark = (result) => (isFlaky(result)
  ? el('span', { class: 'flaky', title: 'failed, then passed when run again' }, 'FLAKY') : '');

const levelBadge = (level) => el('span', { class: 'level' }, level);

// Text with ``code`` in it, as docstrings have it.
function prose(text, kind = 'p') {
  const parts = text.split(/``(.+?)``/);
  return el(kind, {}, ...parts.map((part, index) => (index % 2 ? el('code', {}, part) : part)));
}

// The address of an issue or RFC, built from matched letters and digits only.
function address(reference) {
  const issue = /^([\w.-]+\/[\w.-]+|\w+)#(\d+)$/.exec(reference);
  if (issue) {
    const named = Object.hasOwn(REPOSITORIES, issue[1]) ? REPOSITORIES[issue[1]] : null;
    const repository = issue[1].includes('/') ? issue[1] : named;
    return repository && `https://github.com/${repository}/issues/${issue[2]}`;
  }
  const rfc = /^RFC (\d+)(?:, (\d+(?:\.\d+)*))?/.exec(reference);
  return rfc && `https://www.rfc-editor.org/rfc/rfc${rfc[1]}${rfc[2] ? `#section-${rfc[2]}` : ''}`;
}

function reference(text) {
  const href = address(text.trim());
  return href ? el('a', { href, rel: 'noreferrer noopener', target: '_blank' }, text) : text;
}

function references(texts) {
  const parts = [];
  texts.forEach((text, index) => parts.push(index ? '; ' : '', reference(text)));
  return parts;
}

// References within one text, as in deviations.
const referencesIn = (text) => text.split(/([;,] )/).map((part, index) => (index % 2 ? part : reference(part)));

const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

function section(title, ...content) {
  return el('section', {}, el('h3', {}, title), ...content);
}

// -- findings -------------------------------------------------------------------------------------

function findings(result) {
  if (!result.findings.length) return null;
  const rows = result.findings.map((finding) => el('tr', { class: finding.holds ? 'right' : 'wrong' },
    el('td', { 'data-label': 'side' }, finding.side),
    el('td', { 'data-label': 'what' }, finding.what),
    el('td', { 'data-label': 'expected' }, el('code', {}, shown(finding.expected))),
    el('td', { 'data-label': 'observed' }, el('code', {}, shown(finding.observed)),
      finding.holds ? null : el('span', { class: 'mark' }, ' differs'))));
  return section('Findings', el('table', { class: 'plain findings' },
    el('thead', {}, el('tr', {}, ...['side', 'what', 'expected', 'observed'].map((head) => el('th', { scope: 'col' }, head)))),
    el('tbody', {}, ...rows)));
}

// -- what to do -----------------------------------------------------------------------------------

function advice(result, cells) {
  const items = [];
  if (result.advice) items.push(prose(result.advice, 'li'));
  if (result.verdict === 'deviates' || result.verdict === 'fails') {
    const better = cells.filter((other) => other.verdict === 'holds').map((other) => other.target);
    if (better.length) items.push(el('li', {}, 'The claim holds on ', ...joined(better), '.'));
    else if (cells.length > 1) items.push(el('li', {}, 'The claim holds on no target of this report.'));
  }
  if (result.verdict === 'deviates' && result.reference) {
    items.push(el('li', {}, 'Reference: ', ...referencesIn(result.reference), '.'));
  }
  if (result.verdict === 'fails') {
    items.push(el('li', {}, 'Read the exchanges below. If this is a known deviation with a reference, add it to ',
      el('code', {}, 'deviations.toml'), '.'));
  }
  return section('What to do', items.length ? el('ul', { class: 'advice' }, ...items) : null,
    el('p', {}, 'Run this scenario again on the same targets:'), rerun(result.key.split('[')[0]));
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function rerun(id) {
  const command = ['pullproof', 'run', ...data.rerun, '-s', id].map(quoted).join(' ');
  const button = el('button', { type: 'button', class: 'copy' }, 'Copy');
  button.addEventListener('click', async () => {
    try { await navigator.clipboard.writeText(command); button.textContent = 'Copied'; } catch { /* it can be selected */ }
  });
  return el('div', { class: 'rerun' }, el('pre', { class: 'command', tabindex: '0' }, command), button);
}

function joined(names) {
  const parts = [];
  names.forEach((name, index) => parts.push(index ? ', ' : '', el('code', {}, name)));
  return parts;
}

function outcome(result) {
  const parts = [];
  if (result.verdict === 'deviates') parts.push(el('p', {}, `${result.target} `, ...prose(result.does).childNodes, '.'));
  if (result.verdict === 'holds') parts.push(el('p', {}, 'All findings are as the claim says.'));
  if (result.verdict === 'n/a') parts.push(el('p', {}, result.reason || 'The scenario did not run.'));
  if (result.verdict === 'fails') {
    parts.push(el('ul', { class: 'problems' }, ...result.problems.map((problem) => el('li', {}, problem))));
  }
  if (result.earlier.length) {
    parts.push(el('p', {}, `${isFlaky(result) ? 'Flaky: it' : 'It'} failed before it was run again:`),
      el('ul', { class: 'problems' }, ...result.earlier.map((problem) => el('li', {}, problem))));
  }
  return el('div', { class: `outcome ${verdictClass(result.verdict)}` }, pill(result.verdict), flakyMark(result), ...parts);
}

// -- the exchanges --------------------------------------------------------------------------------

function headerList(title, lines) {
  if (!lines || !lines.length) return null;
  const rows = lines.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]);
  return el('div', {}, el('h4', {}, title), el('dl', { class: 'headers' }, ...rows));
}

function pretty(body) {
  try { return JSON.stringify(JSON.parse(body), null, 2); } catch { return body; }
}

function exchange(event, number, layout) {
  const [from, to] = ends(event, layout).map((lane) => layout.lanes[lane]);
  if (event.kind === 'disk') {
    const more = event.more_files ? [el('li', {}, `and ${event.more_files} more`)] : [];
    return el('details', { class: 'exchange disk' },
      el('summary', {}, el('span', { class: 'number' }, String(number)),
        el('span', { class: 'way' }, `${from} → disk`), el('code', {}, diskWords(event))),
      el('ul', { class: 'files' }, ...(event.files || []).map((file) => el('li', {}, file)), ...more));
  }
  const times = event.times > 1 ? `${event.times} × ` : '';
  const facts = [event.size ? size(event.size) : '', event.seconds ? duration(event.seconds) : '', event.note || ''];
  return el('details', { class: `exchange ${event.kind}` },
    el('summary', {}, el('span', { class: 'number' }, String(number)),
      el('span', { class: 'way' }, `${from} → ${to}`),
      el('code', {}, times + shortDigest(event.line || '')),
      el('span', { class: `status ${statusClass(event.status)}` }, event.status ? String(event.status) : 'no answer'),
      el('span', { class: 'facts' }, facts.filter(Boolean).join(' · '))),
    el('p', { class: 'whole' }, el('code', {}, event.line || '')),
    headerList('Request', event.sent), headerList('Answer', event.headers),
    event.body ? el('div', {}, el('h4', {}, 'Body'), el('pre', { tabindex: '0' }, pretty(event.body))) : null);
}

function story(trace, layout) {
  if (!trace) return section('Exchanges', el('p', { class: 'quiet' },
    'This report was made without requests and answers.'));
  if (!trace.events.length) return section('Exchanges', el('p', { class: 'quiet' }, 'No request was sent.'));
  const drawing = el('div', { class: 'drawing' });
  const draw = () => {
    const width = Math.floor(drawing.clientWidth);
    if (width > 0) drawing.replaceChildren(diagram(trace, layout, width));
  };
  new ResizeObserver(draw).observe(drawing);
  const notes = [];
  if (!trace.ordered) notes.push('A recording does not keep the order between clients and upstream.');
  if (trace.omitted) notes.push(`${trace.omitted} steps are left out.`);
  if (trace.polls) notes.push(`${trace.polls} requests that polled for a condition are left out.`);
  return section('Exchanges', drawing,
    notes.length ? el('p', { class: 'quiet' }, notes.join(' ')) : null,
    el('div', { class: 'exchanges', role: 'group', 'aria-label': 'Exchanges' },
      ...trace.events.map((event, index) => exchange(event, index + 1, layout))));
}

// -- the baseline ---------------------------------------------------------------------------------

function differences(comparison, target, baseline) {
  if (!comparison) return null;
  const rows = [
    ...comparison.unexplained.map((one) => [one, 'unexplained', true]),
    ...comparison.explained.map(([one, known]) => [one, `${known.reason} (${known.reference})`, false]),
  ];
  const title = `Compared with ${baseline}`;
  if (!rows.length) return section(title, el('p', {}, 'No difference.'));
  return section(title, el('table', { class: 'plain differences' },
    el('thead', {}, el('tr', {}, ...['where', target, baseline, 'why'].map((head) => el('th', { scope: 'col' }, head)))),
    el('tbody', {}, ...rows.map(([one, why, wrong]) => el('tr', { class: wrong ? 'wrong' : '' },
      el('td', { 'data-label': 'where' }, `${one.number ? `${one.number}. ` : ''}${shortDigest(one.step)}: ${shortDigest(one.field)}`),
      el('td', { 'data-label': target }, el('code', {}, shown(one.left))),
      el('td', { 'data-label': baseline }, el('code', {}, shown(one.right))),
      el('td', { 'data-label': 'why' }, why))))));
}

// -- all of it ------------------------------------------------------------------------------------

// *row* is {key, about, cells}; *compare* finds what differs from the baseline.
function scenarioContent(row, chosen, compare, choose) {
  const { about, cells } = row;
  const layout = lanesOf(cells.map((cell) => cell.trace).filter(Boolean));
  const ids = cells.map((_, index) => `panel-${index}`);
  const tabs = cells.map((cell, index) => el('button', {
    type: 'button', role: 'tab', id: `tab-${index}`, 'aria-controls': ids[index],
    'aria-selected': String(index === chosen), tabindex: index === chosen ? '0' : '-1',
  }, el('span', { class: 'name' }, cell.target), pill(cell.verdict), flakyMark(cell)));
  tabs.forEach((tab, index) => tab.addEventListener('click', () => choose(index)));
  const cell = cells[chosen];
  const panel = el('div', { role: 'tabpanel', id: ids[chosen], 'aria-labelledby': `tab-${chosen}`, tabindex: '0' },
    outcome(cell), advice(cell, cells), findings(cell), story(cell.trace, layout),
    compare(cell), cell.conversation ? section('Requests, answers and logs',
      el('pre', { tabindex: '0' }, cell.conversation)) : null);
  // Other panels are built when chosen; the tabs need empty ones to refer to.
  const others = ids.filter((id) => id !== ids[chosen]).map((id) => el('div', { id, role: 'tabpanel', hidden: true }));
  const facts = [['References', ...references(about.refs)]];
  if (about.needs && about.needs.length) facts.push(['Needs', about.needs.join('; ')]);
  if (about.file) facts.push(['Source', el('code', {}, about.line ? `${about.file}:${about.line}` : about.file)]);
  return [
    el('p', { class: 'path' }, levelBadge(about.level), ' ', el('code', {}, row.key)),
    el('h2', { id: 'claim' }, about.claim),
    about.why ? prose(about.why) : null,
    el('dl', { class: 'facts' }, ...facts.flatMap(([name, ...values]) => [el('dt', {}, name), el('dd', {}, ...values)])),
    el('div', { role: 'tablist', 'aria-label': 'Targets' }, ...tabs),
    panel, ...others,
  ].filter(Boolean);
}
