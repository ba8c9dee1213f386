// Drives a report as its readers do, in a real browser, and audits it.
//
// usage   tests/browser/drive.sh report.cjs ADDRESS STORY
// fails   on the first thing that is not as it should be, with words for it

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { chromium } = require('playwright-core');

const [executablePath, address, story] = process.argv.slice(2);
const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** Opens the page; what it complains of, or asks for, is gathered. */
async function open(browser, settings = {}, hash = '') {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...settings });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (request.url().split('#')[0] !== address) complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(address + hash);
  if (settings.javaScriptEnabled !== false && !settings.still) {
    await page.waitForSelector('html[data-ready="yes"]');
  }
  return { page, complaints, close: () => context.close() };
}

/** Audits the page as it stands. */
async function audit(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const said = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).slice(0, 3).join('\n  ')}`);
  assert.deepEqual(said, [], `axe, ${what}`);
}

const text = (page, selector) => page.locator(selector).innerText();
const value = (page, selector) => page.locator(selector).inputValue();

/** A reader divides the load anew. */
async function divides({ page }) {
  await page.click('[data-by="system"]');
  assert.match(await text(page, '#load-legend'), /decision/);
  assert.equal(await page.getAttribute('[data-by="system"]', 'aria-pressed'), 'true');
  await page.click('[data-by="blocker"]');
  assert.match(await text(page, '#load-legend'), /sync-12/);
  await page.click('[data-by="cause"]');
}

/** A reader drags a window over the chart: every view follows, and the whole comes back. */
async function brushes({ page }) {
  const chart = await page.locator('#load-chart svg').boundingBox();
  const heat = await text(page, '#heat');
  assert.match(heat, /sync|state_counter/);
  await page.mouse.move(chart.x + chart.width * 0.1, chart.y + 100);
  await page.mouse.down();
  await page.mouse.move(chart.x + chart.width * 0.2, chart.y + 100, { steps: 4 });
  await page.mouse.move(chart.x + chart.width * 0.3, chart.y + 100, { steps: 4 });
  await page.mouse.up();
  assert.doesNotMatch(await text(page, '#window-said'), /whole/);
  // Before the jam nobody waits for a row.
  assert.doesNotMatch(await text(page, '#heat'), /row-lock/);
  assert.match(await text(page, '#episodes + .scroll'), /outside the chosen window/);
  await page.click('#window-whole');
  assert.match(await text(page, '#window-said'), /whole/);
  assert.equal(await text(page, '#heat'), heat);
}

/** The same by keyboard alone. */
async function brushesByKey({ page }) {
  await page.focus('#window-to');
  for (let n = 0; n < 5; n += 1) await page.keyboard.press('ArrowLeft');
  assert.doesNotMatch(await text(page, '#window-said'), /whole/);
  await page.keyboard.press('End');
  assert.match(await text(page, '#window-said'), /whole/);
}

/** A reader steps through the moments; a box keeps its place, a queue opens. */
async function replays({ page }) {
  assert.match(await text(page, '#moment-said'), /sessions blocked/);
  const worst = await value(page, '#moment');
  await page.focus('#moment');
  await page.keyboard.press('Home');
  assert.match(await text(page, '#moment-said'), /0 sessions blocked/);
  assert.match(await text(page, '#replay-graph'), /Nobody waits/);
  await page.click('#step-on');
  assert.equal(await value(page, '#moment'), '1');
  await page.focus('#replay-graph g.box, #step-on');
  await page.click('#step-back');
  assert.equal(await value(page, '#moment'), '0');
  await page.click('#to-worst');
  assert.equal(await value(page, '#moment'), worst);
  const box = page.locator('#replay-graph g.box').first();
  await box.focus();
  await page.keyboard.press('Enter');
  assert.ok(await page.locator('#replay-detail').isVisible(), 'a box opens by key');
  assert.match(await text(page, '#replay-detail'), /pid|gid/);
  await page.keyboard.press('Enter');
  assert.ok(!(await page.locator('#replay-detail').isVisible()), 'and closes');
  await page.selectOption('#speed', '20');
  const before = await text(page, '#moment-said');
  await page.focus('#moment');
  await page.keyboard.press('Home');
  await page.click('#play');
  await page.waitForFunction((before) => document.getElementById('moment-said').textContent !== before, before);
  await page.waitForFunction(() => Number(document.getElementById('moment').value) > 0);
  await page.click('#play');
  assert.equal(await text(page, '#play'), 'Play');
}

/** A link brings the same moment and window back to somebody else. */
async function links(browser, { page }) {
  await page.click('#to-worst');
  const said = await text(page, '#moment-said');
  const link = await page.getAttribute('#moment-link', 'href');
  const other = await open(browser, {}, link);
  assert.equal(await text(other.page, '#moment-said'), said);
  assert.deepEqual(other.complaints, []);
  await other.close();
  // What an episode points to is a moment as well.
  await page.locator('#episodes + .scroll a').first().click();
  await page.waitForFunction(() => location.hash.includes('at='));
  assert.match(await text(page, '#moment-said'), /blocked/);
}

/** Every control is reached by the Tab key. */
async function isReachedByKey({ page }) {
  const wanted = await page.evaluate(() => {
    const controls = document.querySelectorAll('button:enabled, input, select, summary, main a[href], .scroll[tabindex]');
    const shown = [...controls].filter((control) => control.checkVisibility());
    shown.forEach((control, index) => { control.dataset.control = index; });
    return shown.length;
  });
  await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  const reached = new Set();
  for (let n = 0; n < wanted * 2 + 80 && reached.size < wanted; n += 1) {
    await page.keyboard.press('Tab');
    const control = await page.evaluate(() => document.activeElement?.dataset?.control);
    if (control !== undefined) reached.add(control);
  }
  assert.equal(reached.size, wanted, 'controls reached by Tab');
}

/** Nothing sticks out at any width, in light or dark. */
async function fits(browser) {
  for (const colorScheme of ['light', 'dark']) {
    // A page with less on it is no wider.
    for (const width of ['quiet', 'many'].includes(story) ? [360, 1280] : [360, 719, 720, 1280, 2560]) {
      const { page, complaints, close } = await open(browser, { colorScheme, viewport: { width, height: 900 } });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.equal(wide, width, `scroll width at ${width}`);
      if ([360, 1280].includes(width)) await audit(page, `${colorScheme}, ${width} wide`);
      if (process.env.PGJAM_SCREENSHOTS) {
        await page.screenshot({ path: `${process.env.PGJAM_SCREENSHOTS}/${story}-${colorScheme}-${width}.png`, fullPage: true });
      }
      assert.deepEqual(complaints, []);
      await close();
    }
  }
}

/** Without a script everything that is said is still there. */
async function isWholeWithoutScript(browser) {
  const { page, complaints, close } = await open(browser, { javaScriptEnabled: false });
  assert.ok(await page.locator('h1').isVisible());
  assert.ok(await page.locator('figure.still svg').first().isVisible(), 'the still load');
  assert.ok(!(await page.locator('#load-chart').isVisible()), 'no control that does nothing');
  assert.deepEqual(complaints, []);
  await close();
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const first = await open(browser);
    if (story === 'rollout') {
      await divides(first);
      await brushes(first);
      await brushesByKey(first);
      await replays(first);
      await links(browser, first);
      await isReachedByKey(first);
      await audit(first.page, 'after use');
    } else if (story === 'quiet') {
      assert.ok(!(await first.page.locator('#replay-graph').isVisible()), 'nothing to replay');
    } else {
      assert.ok(await first.page.locator('#replay-graph g.box').first().isVisible(), 'a graph');
      assert.equal(await first.page.locator('main img, main script').count(), 0, 'texts stay texts');
    }
    assert.deepEqual(first.complaints, []);
    await fits(browser);
    await isWholeWithoutScript(browser);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
