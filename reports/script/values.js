// What the page was given, and how times and figures are said.

/** Unpacks the figures that travel within the page: base64, zlib, JSON. */
async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return JSON.parse(await new Response(stream).text());
}

/** Says an instant, in milliseconds since 1970, as a UTC clock does. */
function clock(at, digits = 0) {
  const time = new Date(at).toISOString().slice(11, 23);
  return digits ? time.slice(0, 9 + digits) : time.slice(0, 8);
}

/** Says a duration in milliseconds: `380 ms`, `4.2 s`, `3 min 20 s`. */
function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`;
}

/** Says a figure with about three digits. */
function figure(value) {
  if (value === 0) return '0';
  if (value < 0.005) return '<0.01';
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : value.toFixed(0);
}

/** Says a share. */
function percent(share) {
  if (share > 0 && share < 0.01) return '<1 %';
  return `${Math.round(share * 100)} %`;
}

/** Picks a step of 1, 2 or 5 times a power of ten that divides 0 to `top` into `most` parts at most. */
function niceStep(top, most) {
  const raw = top / most;
  if (!(raw > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw * 0.999999);
}

/** Picks a step of time in milliseconds that a clock would take. */
function niceTime(length, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const step = steps.find((seconds) => (seconds * 1000 * most) >= length);
  return (step ?? Math.ceil(length / most / 86400000) * 86400) * 1000;
}

const SVG = 'http://www.w3.org/2000/svg';

/** Gives an element of SVG; every text goes in as text. */
function draw(tag, attributes = {}, ...inside) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

/** Gives an element of HTML; every text goes in as text. */
function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

/** Cuts a text to a width in pixels, at a font size. */
function fit(text, width, size) {
  const room = Math.max(1, Math.floor(width / (size * 0.56)));
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
