// What the reader has chosen: a window, a moment, and how the load is divided. Views listen.

/** The reader's choice; it is written into the page's address, so that a link brings it back. */
class Chosen {
  constructor(from, to) {
    this.whole = [from, to];
    [this.from, this.to] = this.whole;
    this.at = null;
    this.by = 'cause';
    this.listeners = [];
  }

  /** Calls `view` now and after each change of what it names: `window`, `at`, `by`. */
  follow(names, view) {
    this.listeners.push({ names, view });
    view(true);
  }

  /** Changes some of it and tells the views. */
  set(change) {
    const changed = [];
    if ('from' in change || 'to' in change) {
      const [first, last] = this.whole;
      const ends = [change.from ?? this.from, change.to ?? this.to].sort((a, b) => a - b);
      const [from, to] = ends.map((end) => Math.min(Math.max(end, first), last));
      if (from !== this.from || to !== this.to) changed.push('window');
      [this.from, this.to] = [from, to];
    }
    for (const name of ['at', 'by']) {
      if (name in change && change[name] !== this[name]) {
        this[name] = change[name];
        changed.push(name);
      }
    }
    if (!changed.length) return;
    for (const { names, view } of this.listeners) {
      if (names.some((name) => changed.includes(name))) view(false);
    }
  }

  get isWhole() {
    return this.from === this.whole[0] && this.to === this.whole[1];
  }

  /** Gives the address's part that brings back this choice, with the moment `at`. */
  link(at = this.at) {
    const said = new URLSearchParams();
    if (at !== null) said.set('at', new Date(at).toISOString());
    if (!this.isWhole) {
      said.set('from', new Date(this.from).toISOString());
      said.set('to', new Date(this.to).toISOString());
    }
    if (this.by !== 'cause') said.set('by', this.by);
    return `#${said}`.replaceAll('%3A', ':');
  }

  /** Takes what the address says; tells whether it names a moment. */
  read(address) {
    const said = new URLSearchParams(address.replace(/^#/, ''));
    const instant = (name) => {
      const at = Date.parse(said.get(name) ?? '');
      return Number.isNaN(at) ? undefined : at;
    };
    const [from, to, at] = ['from', 'to', 'at'].map(instant);
    const change = {};
    if (from !== undefined && to !== undefined) Object.assign(change, { from, to });
    if (at !== undefined) change.at = at;
    if (said.get('by')) change.by = said.get('by');
    this.set(change);
    return at !== undefined;
  }
}
