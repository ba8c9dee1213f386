// The wait-for graph moment by moment.

const BOX = { width: 208, height: 62, across: 292, down: 74, margin: 14 };

/** Finds the scene that is shown at an instant; the last before it where nobody looked. */
function sceneAt(scenes, at) {
  let [low, high] = [0, scenes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scenes[middle].from <= at) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** Turns packed scenes into ones with names, at instants in milliseconds since 1970. */
function scenesOf(replay) {
  const begins = replay.from / 1000;
  return replay.scenes.map(({ at, stretch, blocked, left_out, boxes, arrows }) => ({
    at: begins + at,
    from: begins + stretch[0],
    to: begins + stretch[1],
    blocked,
    leftOut: left_out,
    boxes,
    arrows,
  }));
}

/** Draws the graph, and keeps slider, picture and words true to the reader's moment. */
function replayView(data, chosen) {
  const { replay } = data;
  const begins = replay.from / 1000;
  const scenes = scenesOf(replay);
  const worst = scenes.reduce((worst, scene, index) => (scene.blocked > scenes[worst].blocked ? index : worst), 0);
  const find = (id) => document.getElementById(id);
  const [slider, play, speed, said] = ['moment', 'play', 'speed', 'moment-said'].map(find);
  const [picture, strip, detail, link] = ['replay-graph', 'replay-strip', 'replay-detail', 'moment-link'].map(find);
  let playing = null;
  let open = null;
  let shown = -1;
  slider.max = scenes.length - 1;

  const party = (member) => {
    const [name, system] = replay.parties[member[0]];
    return { name, system: system === null ? '(no name)' : replay.systems[system][0], colour: system === null ? null : replay.systems[system][1] };
  };
  const since = (scene, began) => (began === null ? null : Math.max(0, scene.at - begins - began));

  /** Says what a box waits for. */
  const lockOf = (scene, box) => {
    const own = scene.boxes.indexOf(box);
    const arrow = scene.arrows.find(([from]) => from === own);
    return arrow ? ` on ${replay.locks[arrow[2]][0]}` : '';
  };

  /** Says who a box is in three short lines. */
  const words = (scene, box) => {
    const [first] = box.members;
    const waits = box.members.map((member) => since(scene, member[4])).filter((wait) => wait !== null);
    const longest = waits.length ? Math.max(...waits) : null;
    if (box.count > 1) {
      const systems = [...new Set(box.members.map((member) => party(member).system))];
      const many = `${systems.length}${box.count > box.members.length ? ' or more' : ''} systems`;
      const who = systems.length === 1 ? `${box.count} × ${systems[0]}` : `${box.count} sessions, ${many}`;
      return [who, 'wait in one queue', (longest === null ? '' : `up to ${duration(longest)}`) + lockOf(scene, box)];
    }
    const { name, system } = party(first);
    const open = since(scene, first[3]);
    const doing = replay.states[first[1]] + (open === null ? '' : `, ${duration(open)}`);
    const rest = [];
    if (longest !== null) rest.push(`waits ${duration(longest)}${lockOf(scene, box)}`);
    if (box.behind) rest.push(`${box.behind} behind it`);
    return [`${system} · ${name}`, doing, rest.join(', ')];
  };

  /** Names a box, so that it is found again in the next scene. */
  const identity = (box) => (box.count > 1 ? `queue at ${box.place}` : `party ${box.members[0][0]}`);

  const boxOf = (scene, box) => {
    const [left, top] = placeOf(box);
    const [who, doing, waits] = words(scene, box);
    const [, system] = replay.parties[box.members[0][0]];
    const roles = ['box', box.role & 1 ? 'root' : '', box.role & 2 ? 'cycle' : '', box.role & 4 ? 'amplifier' : ''];
    const group = draw('g', {
      class: roles.filter(Boolean).join(' '),
      transform: `translate(${left} ${top})`,
      tabindex: 0,
      role: 'button',
      'aria-description': [box.role & 1 ? 'root' : '', box.role & 2 ? 'in a deadlock' : '', box.role & 4 ? 'waits and makes others wait' : ''].filter(Boolean).join(', '),
      'aria-pressed': String(open === identity(box)),
    });
    if (box.count > 1) group.append(draw('rect', { x: 5, y: 5, width: BOX.width, height: BOX.height, rx: 6, class: 'behind' }));
    const colour = draw('rect', { x: 6, y: 8, width: 5, height: BOX.height - 16, rx: 2.5 });
    colour.style.fill = system === null ? 'var(--muted)' : `var(--series-${replay.systems[system][1] % 8})`;
    const longest = Math.max(0, ...box.members.map((member) => since(scene, member[4]) ?? 0));
    const share = scene.longest > 0 ? longest / scene.longest : 0;
    group.append(
      draw('rect', { width: BOX.width, height: BOX.height, rx: 6, class: 'face' }),
      colour,
      draw('text', { x: 19, y: 19, class: 'who' }, fit(who, BOX.width - 30, 13)),
      draw('text', { x: 19, y: 36, class: 'doing' }, fit(doing, BOX.width - 30, 11.5)),
      draw('text', { x: 19, y: 51, class: 'waits' }, fit(waits, BOX.width - 30, 11.5)),
    );
    if (share > 0) group.append(draw('rect', { x: 19, y: BOX.height - 6, width: Math.max(2, share * (BOX.width - 30)), height: 3, rx: 1.5, class: 'bar' }));
    const choose = () => {
      open = open === identity(box) ? null : identity(box);
      show(true);
      picture.querySelector('[aria-pressed="true"]')?.focus();
    };
    group.addEventListener('click', choose);
    group.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        choose();
      }
    });
    return group;
  };

  const placeOf = (box) => [BOX.margin + box.place[0] * BOX.across, BOX.margin + box.place[1] * BOX.down];

  const arrowOf = (scene, [from, to, lock, sure]) => {
    const [waiter, blocker] = [placeOf(scene.boxes[from]), placeOf(scene.boxes[to])];
    const start = [waiter[0], waiter[1] + BOX.height / 2];
    const end = [blocker[0] + BOX.width, blocker[1] + BOX.height / 2];
    const bend = Math.max(30, Math.abs(start[0] - end[0]) / 2);
    const arrow = draw('g', { class: `arrow ${['held', 'queued', 'unsure'][sure]}` });
    const [target, mode] = replay.locks[lock];
    arrow.append(
      draw('title', {}, `waits for ${target} ${mode}${['', ', queued behind', ', queued behind, order not sure'][sure]}`),
      draw('path', { d: `M${start}C${start[0] - bend} ${start[1]} ${end[0] + bend} ${end[1]} ${end[0] + 8} ${end[1]}` }),
      draw('path', { d: `M${end}l9 -4v8z`, class: 'head' }),
    );
    return arrow;
  };

  const details = (scene) => {
    const box = scene.boxes.find((box) => identity(box) === open);
    detail.hidden = !box;
    if (!box) return;
    const rows = box.members.map((member) => {
      const { name, system } = party(member);
      const [transaction, wait] = [since(scene, member[3]), since(scene, member[4])];
      return make('tr', {},
        make('th', { scope: 'row' }, `${system} · ${name}`),
        make('td', {}, replay.states[member[1]]),
        make('td', {}, transaction === null ? '' : duration(transaction)),
        make('td', {}, wait === null ? '' : duration(wait)),
        make('td', {}, make('code', {}, member[2] === null ? '' : replay.queries[member[2]])));
    });
    detail.querySelector('tbody').replaceChildren(...rows);
    const more = box.count - box.members.length;
    detail.querySelector('p').textContent = more > 0 ? `… and ${more} more in the same queue.` : '';
  };

  const show = (isForced) => {
    const index = chosen.at === null ? worst : sceneAt(scenes, chosen.at);
    const scene = scenes[index];
    const isGap = chosen.at !== null && chosen.at > scene.to + 1000;
    if (index !== shown || isForced) {
      shown = index;
      slider.value = index;
      scene.longest ??= Math.max(0, ...scene.boxes.flatMap((box) => box.members.map((member) => since(scene, member[4]) ?? 0)));
      const size = scene.boxes.reduce((size, box) => {
        const [left, top] = placeOf(box);
        return [Math.max(size[0], left + BOX.width + BOX.margin), Math.max(size[1], top + BOX.height + BOX.margin + 5)];
      }, [0, 0]);
      // The sheet only grows, so that it does not jump from scene to scene.
      const width = Math.max(size[0], Number(picture.dataset.width ?? 0));
      const height = Math.max(size[1], Number(picture.dataset.height ?? 90));
      Object.assign(picture.dataset, { width, height });
      const sheet = draw('svg', { viewBox: `0 0 ${width || 480} ${height}`, width: width || 480, height, role: 'group', 'aria-label': 'The graph' });
      const focused = picture.contains(document.activeElement);
      if (!scene.boxes.length) sheet.append(draw('text', { x: BOX.margin, y: 48, class: 'doing' }, 'Nobody waits for a lock.'));
      sheet.append(...scene.arrows.map((arrow) => arrowOf(scene, arrow)), ...scene.boxes.map((box) => boxOf(scene, box)));
      picture.replaceChildren(sheet);
      if (focused) (picture.querySelector('[aria-pressed="true"]') ?? picture).focus({ preventScroll: true });
      details(scene);
    }
    const words = [`${clock(scene.at, 1)} UTC`];
    words.push(scene.blocked === 1 ? '1 session blocked' : `${scene.blocked} sessions blocked`);
    if (scene.leftOut) words.push(`${scene.leftOut} sessions are not drawn`);
    if (isGap) words.push(`then nobody looked: this is the last look before ${clock(chosen.at, 1)}`);
    said.textContent = words.join(' · ');
    slider.setAttribute('aria-valuetext', words.join(', '));
    link.href = chosen.link(scene.at);
    marker();
  };

  const marker = () => {
    const line = strip.querySelector('.now');
    if (!line) return;
    const [from, to] = chosen.whole;
    const x = ((scenes[shown].at - from) / Math.max(1, to - from)) * 1000;
    line.setAttribute('x1', x);
    line.setAttribute('x2', x);
  };

  const blockedStrip = () => {
    const [from, to] = chosen.whole;
    const top = Math.max(1, ...scenes.map((scene) => scene.blocked));
    const x = (at) => (((at - from) / Math.max(1, to - from)) * 1000).toFixed(1);
    const bars = scenes.filter((scene) => scene.blocked > 0)
      .map((scene) => `M${x(scene.from)} 32V${(32 - (scene.blocked / top) * 30).toFixed(1)}H${x(scene.to)}V32Z`);
    strip.replaceChildren(draw('path', { d: bars.join(''), class: 'bar' }), draw('line', { y1: 0, y2: 32, class: 'now' }));
  };

  /** Steps over scenes within the reader's window. */
  const step = (by) => {
    const [first, last] = [sceneAt(scenes, chosen.from), sceneAt(scenes, chosen.to)];
    const next = Math.min(Math.max(shown + by, first), last);
    chosen.set({ at: scenes[next].at });
  };

  const stop = () => {
    playing = null;
    play.textContent = 'Play';
  };
  const tick = (now) => {
    if (!playing) return;
    const passed = (now - playing.last) * Number(speed.value);
    playing = { last: now, at: playing.at + passed };
    // Where nobody looked there is nothing to wait for.
    const scene = scenes[sceneAt(scenes, playing.at)];
    const next = scenes[sceneAt(scenes, playing.at) + 1];
    if (playing.at > scene.to + 1000 && next) playing.at = next.from;
    chosen.set({ at: Math.min(playing.at, chosen.to) });
    if (playing.at >= chosen.to) stop();
    else requestAnimationFrame(tick);
  };
  play.addEventListener('click', () => {
    if (playing) return stop();
    const begin = chosen.at ?? scenes[worst].at;
    playing = { last: performance.now(), at: begin >= chosen.to - 1 || begin < chosen.from ? chosen.from : begin };
    play.textContent = 'Pause';
    return requestAnimationFrame(tick);
  });
  find('step-back').addEventListener('click', () => step(-1));
  find('step-on').addEventListener('click', () => step(1));
  find('to-worst').addEventListener('click', () => chosen.set({ at: scenes[worst].at }));
  slider.addEventListener('input', () => chosen.set({ at: scenes[Number(slider.value)].at }));
  strip.addEventListener('click', (event) => {
    const { left, width } = strip.getBoundingClientRect();
    const [from, to] = chosen.whole;
    chosen.set({ at: from + ((event.clientX - left) / width) * (to - from) });
  });
  find('replay').addEventListener('keydown', (event) => {
    if (event.target.matches('input, select, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.target.closest('.scroll') && !event.target.closest('g')) return;
    if (event.key in steps) {
      event.preventDefault();
      step(steps[event.key]);
    }
  });

  blockedStrip();
  chosen.follow(['at'], () => show(false));
}
