// Who lost time to what: victims by causes, within the reader's window.

const VICTIMS = 12;
const CAUSES = 6;

/** Says what a cell's time went into, without whose it was. */
function causeOf(cell) {
  const kind = cell.class === 'own-work' ? 'running' : cell.class;
  return cell.table ? `${kind} ${cell.table}` : kind;
}

/** Draws the map and keeps it true to the reader's window. */
function heatView(data, chosen) {
  const { load } = data;
  const table = document.getElementById('heat');
  chosen.follow(['window'], () => {
    const bins = binsWithin(load, chosen.from, chosen.to);
    const inside = new Set(bins);
    const [victims, causes, both] = [new Map(), new Map(), new Map()];
    const add = (sums, key, value) => sums.set(key, (sums.get(key) ?? 0) + value);
    for (const cell of load.cells) {
      const sum = cell.bins.reduce((sum, [bin, sessions]) => sum + (inside.has(bin) ? sessions : 0), 0);
      if (sum <= 0) continue;
      const value = sum / bins.length;
      // Cells too light to be told apart were summed, with neither.
      const isRest = cell.system === null && cell.statement === null;
      const victim = isRest ? 'many lighter ones, summed' : `${cell.system ?? '(no name)'}: ${cell.statement ?? '(text unknown)'}`;
      const cause = causeOf(cell);
      add(victims, victim, value);
      add(causes, cause, value);
      add(both, JSON.stringify([victim, cause]), value);
    }
    const heaviest = (sums) => [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([key]) => key);
    const columns = heaviest(causes).slice(0, CAUSES);
    const rows = heaviest(victims).slice(0, VICTIMS);
    const top = Math.max(1e-9, ...both.values());
    const cell = (victim, cause) => {
      const value = both.get(JSON.stringify([victim, cause])) ?? 0;
      const field = make('td', {}, value ? figure(value) : '·');
      field.style.setProperty('--heat', `${Math.round(Math.sqrt(value / top) * 50)}%`);
      return field;
    };
    const head = ['Whose latency', ...columns].map((name) => make('th', { scope: 'col' }, name));
    const body = rows.map((victim) => make('tr', {},
      make('th', { scope: 'row' }, victim), ...columns.map((cause) => cell(victim, cause))));
    const left = [victims.size - rows.length, causes.size - columns.length];
    document.getElementById('heat-said').textContent = rows.length
      ? `Active sessions on average, ${clock(chosen.from)} to ${clock(chosen.to)} UTC.`
        + (left[0] > 0 ? ` ${left[0]} lighter victims are left out.` : '')
        + (left[1] > 0 ? ` ${left[1]} lighter causes are left out.` : '')
      : 'Nobody was active in this window, or nobody looked.';
    table.tHead.replaceChildren(make('tr', {}, ...head));
    table.tBodies[0].replaceChildren(...body);
  });
}
