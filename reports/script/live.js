// What goes on now, on a page that a daemon serves.

/** What is going on is asked for no oftener than this, in milliseconds. */
const PACE = 1000;
/** The report is drawn up anew so often, and only when nobody has touched it for a while. */
const RENEWAL = { every: 60000, rest: 20000 };

/** Follows the daemon's looks, and renews the report while nobody is at work on it. */
function liveView() {
  const section = document.getElementById('live');
  if (!section) return;
  const [said, now, follow] = ['live-said', 'live-now', 'live-follow'].map((id) => document.getElementById(id));
  const asked = `?server=${encodeURIComponent(section.dataset.server)}`;
  let timer = null;
  let last = 0;

  const ask = async () => {
    timer = null;
    last = performance.now();
    try {
      const answer = await fetch(`now${asked}`);
      if (!answer.ok) return;
      const text = await answer.text();
      if (now.textContent !== text) now.textContent = text;
      now.hidden = false;
      said.textContent = `As of ${clock(Date.now())} UTC by this browser; it follows by itself.`;
    } catch {
      said.textContent = 'The daemon does not answer. What is shown is the last that was known.';
    }
  };
  const changed = () => {
    timer ??= setTimeout(ask, Math.max(0, last + PACE - performance.now()));
  };
  const stream = new EventSource(`api/v1/stream${asked}`);
  stream.addEventListener('graph', changed);
  stream.addEventListener('lost', (event) => {
    said.textContent = `The server is not watched: ${event.data}. What is shown is the last that was known.`;
  });
  stream.addEventListener('error', () => {
    said.textContent = 'The daemon does not answer; trying again. What is shown is the last that was known.';
  });

  let touched = -Infinity;
  for (const kind of ['pointerdown', 'keydown', 'wheel']) {
    addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }
  setInterval(() => {
    const rests = performance.now() - touched > RENEWAL.rest;
    if (follow.checked && rests && document.visibilityState === 'visible') location.reload();
  }, RENEWAL.every);
}
