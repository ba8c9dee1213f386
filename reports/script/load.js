// The DB load over time, divided as the reader likes, with a window to drag.

const DIVISIONS = {
  cause: (cell) => cell.cause,
  system: (cell) => cell.system ?? '(no name, or too light)',
  table: (cell) => cell.table ?? '(no table)',
  statement: (cell) => cell.statement ?? '(no text, or too light)',
  blocker: (cell) => cell.blocker ?? '(nobody)',
};
/** So many parts are drawn apart; the rest is one. */
const PARTS = 7;

/** Sums cells by a name for each bin; gives the parts, heaviest first, with a colour for each. */
function divide(load, by) {
  const name = DIVISIONS[by] ?? DIVISIONS.cause;
  const sums = new Map();
  for (const cell of load.cells) {
    const key = name(cell);
    if (!sums.has(key)) sums.set(key, { name: key, bins: new Float64Array(load.watched.length), sum: 0 });
    const part = sums.get(key);
    for (const [bin, sessions] of cell.bins) {
      part.bins[bin] += sessions;
      part.sum += sessions;
    }
  }
  const parts = [...sums.values()].sort((a, b) => b.sum - a.sum || (a.name < b.name ? -1 : 1));
  const rest = parts.splice(PARTS);
  if (rest.length) {
    const bins = new Float64Array(load.watched.length);
    for (const part of rest) part.bins.forEach((sessions, bin) => { bins[bin] += sessions; });
    parts.push({ name: `${rest.length} others`, bins, sum: 1 });
  }
  return parts.map((part, index) => ({ ...part, colour: `var(--series-${index % 8})` }));
}

/** Gives the numbers of the watched bins that a window touches, at least one of them. */
function binsWithin(load, from, to) {
  const bins = [];
  for (let bin = 0; bin < load.watched.length; bin += 1) {
    const begins = load.from + bin * load.bin;
    if (load.watched[bin] && begins < to && begins + load.bin > from) bins.push(bin);
  }
  return bins;
}

/** Averages values over some bins. */
function mean(values, bins) {
  return bins.length ? bins.reduce((sum, bin) => sum + values[bin], 0) / bins.length : 0;
}

/** Draws the load and keeps it true to the reader's choice. */
function loadView(data, chosen) {
  const { load, events } = data;
  const frame = document.getElementById('load-chart');
  const legend = document.getElementById('load-legend');
  const said = document.getElementById('window-said');
  const whole = document.getElementById('window-whole');
  const ends = ['window-from', 'window-to'].map((id) => document.getElementById(id));
  const margin = { left: 44, right: 12, top: 26, bottom: 24 };
  const height = 264;
  let x = (at) => at;
  let back = (pixels) => pixels;
  let brush;

  for (const button of document.querySelectorAll('[data-by]')) {
    button.addEventListener('click', () => chosen.set({ by: button.dataset.by }));
  }
  whole.addEventListener('click', () => chosen.set({ from: chosen.whole[0], to: chosen.whole[1] }));
  ends.forEach((end, index) => {
    [end.min, end.max, end.step] = [0, load.watched.length, 1];
    end.addEventListener('input', () => {
      const at = load.from + Number(end.value) * load.bin;
      const other = load.from + Number(ends[1 - index].value) * load.bin;
      if (at !== other) chosen.set({ from: at, to: other });
    });
  });

  const chart = () => {
    const width = Math.max(300, frame.clientWidth);
    const [from, to] = chosen.whole;
    const inner = width - margin.left - margin.right;
    x = (at) => margin.left + ((at - from) / Math.max(1, to - from)) * inner;
    back = (pixels) => from + ((pixels - margin.left) / inner) * (to - from);
    const parts = divide(load, chosen.by);
    const tops = new Float64Array(load.watched.length);
    for (const part of parts) part.bins.forEach((sessions, bin) => { tops[bin] += sessions; });
    const step = niceStep(Math.max(0.01, ...tops), 4);
    const top = Math.max(step, Math.ceil(Math.max(...tops, 0) / step) * step);
    const y = (sessions) => height - margin.bottom - (sessions / top) * (height - margin.top - margin.bottom);

    const picture = draw('svg', { viewBox: `0 0 ${width} ${height}`, width, height, class: 'chart', 'aria-hidden': 'true' });
    for (let tick = 0; tick <= top + step / 2; tick += step) {
      picture.append(
        draw('line', { x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick), class: 'grid' }),
        draw('text', { x: margin.left - 6, y: y(tick) + 4, class: 'axis end' }, Number(tick.toFixed(6)).toString()),
      );
    }
    const every = niceTime(to - from, Math.max(2, Math.floor(inner / 90)));
    for (let at = Math.ceil(from / every) * every; at <= to; at += every) {
      const anchor = x(at) > width - 30 ? 'end' : 'middle';
      picture.append(draw('text', { x: Math.min(x(at), width - 2), y: height - 7, class: `axis ${anchor}` }, clock(at)));
    }
    const base = new Float64Array(load.watched.length);
    for (const part of parts) {
      picture.append(draw('path', { d: steps(load, x, y, base, part.bins), fill: part.colour }));
      part.bins.forEach((sessions, bin) => { base[bin] += sessions; });
    }
    let room = margin.left;
    for (const event of [...events].sort((a, b) => b.blamed - a.blamed || a.at - b.at)) {
      const at = x(load.from + event.at);
      if (at < margin.left || at > width - margin.right) continue;
      const kind = event.blamed ? 'mark blamed' : 'mark';
      const mark = draw('line', { x1: at, x2: at, y1: margin.top - 8, y2: height - margin.bottom, class: kind });
      mark.append(draw('title', {}, event.label));
      picture.append(mark);
      if (event.blamed && room === margin.left) {
        const isLeft = at < width / 2;
        picture.append(draw('text', { x: at, y: 13, class: `axis blamed ${isLeft ? 'start' : 'end'}` }, fit(event.label, width / 2, 11.5)));
        room = at;
      }
    }
    brush = draw('g', { class: 'brush' });
    picture.append(brush);
    frame.replaceChildren(picture);
    window_();
  };

  const window_ = () => {
    if (!brush) return;
    const [left, right] = [x(chosen.from), x(chosen.to)];
    const area = { y: margin.top - 8, height: height - margin.top - margin.bottom + 8 };
    brush.replaceChildren();
    if (!chosen.isWhole) {
      const [first, last] = chosen.whole.map(x);
      brush.append(
        draw('rect', { x: first, width: Math.max(0, left - first), class: 'outside', ...area }),
        draw('rect', { x: right, width: Math.max(0, last - right), class: 'outside', ...area }),
        draw('rect', { x: left, width: Math.max(1, right - left), class: 'inside', ...area }),
      );
    }
    if (chosen.at !== null) {
      brush.append(draw('line', { x1: x(chosen.at), x2: x(chosen.at), y1: area.y, y2: area.y + area.height, class: 'now' }));
    }
    const bins = binsWithin(load, chosen.from, chosen.to);
    const parts = divide(load, chosen.by);
    const sum = parts.reduce((sum, part) => sum + mean(part.bins, bins), 0);
    legend.replaceChildren(...parts.map((part) => {
      const sessions = mean(part.bins, bins);
      const swatch = make('span', { class: 'swatch' });
      swatch.style.background = part.colour;
      return make('tr', {},
        make('th', { scope: 'row' }, swatch, part.name),
        make('td', {}, figure(sessions)),
        make('td', {}, percent(sum > 0 ? sessions / sum : 0)));
    }));
    said.textContent = chosen.isWhole
      ? `the whole watch, ${clock(chosen.from)} to ${clock(chosen.to)} UTC`
      : `${clock(chosen.from)} to ${clock(chosen.to)} UTC (${duration(chosen.to - chosen.from)})`;
    whole.disabled = chosen.isWhole;
    [chosen.from, chosen.to].forEach((at, index) => {
      ends[index].value = Math.round((at - load.from) / load.bin);
      ends[index].setAttribute('aria-valuetext', `${clock(at)} UTC`);
    });
    for (const button of document.querySelectorAll('[data-by]')) {
      button.setAttribute('aria-pressed', String(button.dataset.by === chosen.by));
    }
  };

  let begun = null;
  const at = (event) => back(event.clientX - frame.getBoundingClientRect().left);
  frame.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    begun = { at: at(event), x: event.clientX };
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener('pointermove', (event) => {
    if (begun && Math.abs(event.clientX - begun.x) > 4) chosen.set({ from: begun.at, to: at(event) });
  });
  frame.addEventListener('pointerup', (event) => {
    // A click without a drag picks a moment.
    if (begun && Math.abs(event.clientX - begun.x) <= 4) chosen.set({ at: at(event) });
    begun = null;
  });
  frame.addEventListener('dblclick', () => chosen.set({ from: chosen.whole[0], to: chosen.whole[1] }));

  chosen.follow(['by'], chart);
  chosen.follow(['window', 'at'], window_);
  new ResizeObserver(chart).observe(frame);
}

/** Gives the outline of one part of a stack; where nobody looked it is interrupted. */
function steps(load, x, y, base, bins) {
  let path = '';
  for (let bin = 0; bin < bins.length; bin += 1) {
    if (!load.watched[bin]) continue;
    let last = bin;
    while (last + 1 < bins.length && load.watched[last + 1]) last += 1;
    const edge = (n) => x(load.from + n * load.bin).toFixed(1);
    let [above, below] = ['', ''];
    for (let n = bin; n <= last; n += 1) {
      const [low, high] = [y(base[n]).toFixed(1), y(base[n] + bins[n]).toFixed(1)];
      above += `L${edge(n)} ${high}L${edge(n + 1)} ${high}`;
      below = `L${edge(n + 1)} ${low}L${edge(n)} ${low}${below}`;
    }
    path += `M${above.slice(1)}${below}Z`;
    bin = last;
  }
  return path;
}
