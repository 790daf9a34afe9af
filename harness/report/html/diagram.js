// The sequence diagram of one trace as SVG: lifelines for client, proxy, upstreams and disk.
// All texts become text nodes; attributes hold only numbers computed here.

const SVG = 'http://www.w3.org/2000/svg';
const ROWS = 80;       // the list below the diagram has the rest
const LETTER = 6.7;    // pixels of a letter of the diagram's font

function svg(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const shortDigest = (text) => text.replace(/((?:sha256|sha512):[0-9a-f]{10})[0-9a-f]{20,}/g, '$1…');

function fitted(text, pixels) {
  const most = Math.max(6, Math.floor(pixels / LETTER));
  if (text.length <= most) return text;
  const head = Math.ceil(most * 0.6);
  return `${text.slice(0, head - 1)}…${text.slice(text.length - (most - head))}`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let value = bytes, unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1024 && unit < units.length - 1);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const duration = (seconds) =>
  seconds >= 1 ? `${seconds.toFixed(2)} s` : `${Math.max(1, Math.round(seconds * 1000))} ms`;

const statusClass = (status) => (status ? `s${Math.floor(status / 100)}` : 's0');

function answerWords(event) {
  const words = [event.status ? String(event.status) : 'no answer'];
  if (event.size) words.push(size(event.size));
  if (event.seconds) words.push(duration(event.seconds));
  if (event.note) words.push(event.note);
  return words.join(' · ');
}

function diskWords(event) {
  const files = event.files || [];
  const counts = { '+': 0, '-': 0, '~': 0 };
  for (const file of files) counts[file[0]] += 1;
  const words = [];
  if (counts['+']) words.push(`+${counts['+']}`);
  if (counts['-']) words.push(`−${counts['-']}`);
  if (counts['~']) words.push(`~${counts['~']}`);
  const total = files.length + (event.more_files || 0);
  const others = event.more_files ? ` and ${event.more_files} more` : '';
  return `${words.join(' ')}${others} ${total === 1 ? 'file' : 'files'}`;
}

// The lines of the diagram. A request during which nothing else happens shares a line with its answer.
function diagramLines(events) {
  const lines = [];
  events.forEach((event, index) => {
    const numbered = { event, number: index + 1 };
    if (event.kind === 'disk') { lines.push({ at: event.order, kind: 'disk', ...numbered }); return; }
    const within = events.some((o) => o !== event &&
      ((o.order > event.order && o.order < event.ended) || (o.ended > event.order && o.ended < event.ended)));
    if (!within) { lines.push({ at: event.order, kind: 'both', ...numbered }); return; }
    lines.push({ at: event.order, kind: 'ask', ...numbered });
    lines.push({ at: event.ended, kind: 'answer', ...numbered });
  });
  return lines.sort((a, b) => a.at - b.at);
}

const several = (name, place, most) => (most > 1 ? `${name} ${place}` : name);

// The lanes that *traces* of one scenario need, so that its diagrams have the same lanes for all targets.
function lanesOf(traces) {
  const events = traces.flatMap((trace) => trace.events);
  const most = (kinds) => events.filter((e) => kinds.includes(e.kind))
    .reduce((max, e) => Math.max(max, e.place || 1), 0);
  const proxies = Math.max(1, most(['client', 'disk'])), upstreams = most(['upstream']);
  const lanes = ['client'];
  for (let n = 1; n <= proxies; n += 1) lanes.push(several('proxy', n, proxies));
  for (let n = 1; n <= upstreams; n += 1) lanes.push(several('upstream', n, upstreams));
  if (events.some((e) => e.kind === 'disk')) lanes.push('disk');
  return { lanes, proxies, upstreams };
}

function ends(event, { lanes, proxies, upstreams }) {
  const at = (name, most) => lanes.indexOf(several(name, event.place || 1, most));
  if (event.kind === 'client') return [0, at('proxy', proxies)];
  // Which of several proxies asked an upstream is unknown: the first one stands for all.
  if (event.kind === 'upstream') return [1, at('upstream', upstreams)];
  return [at('proxy', proxies), lanes.length - 1];
}

function arrow(from, to, y, kind) {
  const side = to > from ? 1 : -1;
  return svg('g', { class: `arrow ${kind}` },
    svg('line', { x1: from, x2: to - side * 5, y1: y, y2: y }),
    svg('path', { d: `M${to} ${y}l${-side * 8} -4v8z` }));
}

function diagram(trace, layout, width) {
  const { lanes } = layout;
  const left = Math.min(64, 36 + width * 0.03), right = width - 34;
  const x = (lane) => Math.round(left + (lane * (right - left)) / (lanes.length - 1));
  const numbered = diagramLines(trace.events);
  const shown = numbered.slice(0, ROWS);
  const parts = [];
  let y = 52;
  const label = (start, text, full, kind) => {
    const words = fitted(text, width - 32);
    const place = Math.max(24, Math.min(start, width - 4 - words.length * LETTER));
    const node = svg('text', { x: place, y: y - 5, class: kind });
    node.append(svg('title', {}, full), words);
    parts.push(node);
  };
  let unordered = false;
  for (const { event, number, kind } of shown) {
    const [from, to] = ends(event, layout).map(x);
    const asked = shortDigest(event.line || '');
    const times = event.times > 1 ? `${event.times} × ` : '';
    if (!trace.ordered && !unordered && event.kind !== 'client') {
      unordered = true;
      parts.push(svg('text', { x: 24, y: y - 2, class: 'quiet' },
        fitted('the order of the following is unknown', width - 30)));
      y += 26;
    }
    parts.push(svg('text', { x: 16, y: kind === 'answer' ? y + 3 : y - 5, class: 'number' }, String(number)));
    if (kind === 'disk') {
      label(from + 8, diskWords(event), (event.files || []).join('\n'), 'changes');
      parts.push(arrow(from, to, y, 'disk'));
      y += 30;
      continue;
    }
    if (kind !== 'answer') {
      label(from + 8, times + asked, event.line || '', 'asked');
      parts.push(arrow(from, to, y, 'ask'));
      y += kind === 'both' ? 18 : 30;
    }
    if (kind !== 'ask') {
      const words = answerWords(event);
      label(from + 8, words, words, `answered ${statusClass(event.status)}`);
      parts.push(arrow(to, from, y, `answer ${statusClass(event.status)}`));
      y += 32;
    }
  }
  const omitted = numbered.length - shown.length;
  if (omitted > 0) {
    parts.push(svg('text', { x: 24, y, class: 'quiet' }, `… ${omitted} lines more: see the exchanges`));
    y += 24;
  }
  const heads = lanes.map((name, lane) => {
    const words = fitted(name, 80), wide = words.length * 7 + 14;
    const middle = Math.max(wide / 2 + 1, Math.min(x(lane), width - wide / 2 - 1));
    return svg('g', { class: 'lane' },
      svg('line', { x1: x(lane), x2: x(lane), y1: 24, y2: y - 8 }),
      svg('rect', { x: middle - wide / 2, y: 2, width: wide, height: 22, rx: 6 }),
      svg('text', { x: middle, y: 17, 'text-anchor': 'middle' }, words));
  });
  return svg('svg', {
    class: 'diagram', width, height: y, viewBox: `0 0 ${width} ${y}`, role: 'img',
    'aria-label': `Sequence diagram with ${trace.events.length} steps, also listed below`,
  }, ...heads, ...parts);
}
