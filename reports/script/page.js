// What happens when the page is there.

/** Shows only the rows of tables whose stretch touches the reader's window, and says so. */
function rowsView(chosen) {
  const rows = [...document.querySelectorAll('tr[data-from]')];
  const tables = [...new Set(rows.map((row) => row.closest('table')))];
  chosen.follow(['window'], () => {
    for (const row of rows) {
      const [from, to] = [row.dataset.from, row.dataset.to].map(Number);
      row.hidden = from > chosen.to || to < chosen.from;
    }
    for (const table of tables) {
      const hidden = table.querySelectorAll('tr[data-from][hidden]').length;
      table.caption.textContent = hidden ? `${hidden} outside the chosen window ${hidden === 1 ? 'is' : 'are'} hidden.` : '';
    }
  });
}

async function begin() {
  liveView();
  const packed = document.getElementById('figures');
  if (!packed || typeof DecompressionStream === 'undefined') return;
  const data = await unpack(packed);
  const { load } = data;
  load.from /= 1000;
  if (!load.watched.length) return;
  const chosen = new Chosen(load.from, load.from + load.watched.length * load.bin);
  const isShown = chosen.read(location.hash);
  for (const element of document.querySelectorAll('.live')) element.hidden = false;
  for (const element of document.querySelectorAll('.still')) element.hidden = true;
  loadView(data, chosen);
  heatView(data, chosen);
  if (document.getElementById('replay') && data.replay.scenes.length) replayView(data, chosen);
  else document.getElementById('replay')?.remove();
  rowsView(chosen);
  const show = () => document.getElementById('replay')?.scrollIntoView();
  if (isShown) show();
  let writing = null;
  chosen.follow(['window', 'at', 'by'], (isFirst) => {
    if (isFirst) return;
    // A few times a second at the most: browsers refuse more.
    writing ??= setTimeout(() => {
      writing = null;
      history.replaceState(null, '', chosen.link());
    }, 300);
  });
  addEventListener('hashchange', () => {
    if (chosen.read(location.hash)) show();
  });
  document.documentElement.dataset.ready = 'yes';
}

begin();
