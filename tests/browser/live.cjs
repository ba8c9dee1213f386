// Watches the daemon's page while a wait ends, and audits it.
//
// usage   tests/browser/drive.sh live.cjs ADDRESS
// says    `sees the wait`, then waits for a line on its standard input and for the wait to end
// fails   on the first thing that is not as it should be, with words for it

const assert = require('node:assert/strict');
const fs = require('node:fs');
const readline = require('node:readline');
const { chromium } = require('playwright-core');

const [executablePath, address] = process.argv.slice(2);
const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

(async () => {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    const complaints = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(address)) complaints.push(`asked for ${request.url()}`);
    });
    await page.goto(address);
    const now = page.locator('#live-now');
    await now.filter({ hasText: 'sync-12' }).waitFor({ timeout: 20000 });
    assert.match(await now.innerText(), /public.hot/);
    await page.waitForSelector('html[data-ready="yes"]');
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], 'axe');
    if (process.env.PGJAM_SCREENSHOTS) {
      await page.screenshot({ path: `${process.env.PGJAM_SCREENSHOTS}/live.png`, fullPage: true });
    }
    console.log('sees the wait');
    const told = readline.createInterface({ input: process.stdin });
    await new Promise((resolve) => { told.once('line', resolve); });
    told.close();
    await now.filter({ hasText: 'Nobody waits for a lock' }).waitFor({ timeout: 20000 });
    assert.deepEqual(complaints, []);
    // Without a script the page tells where the same is to be had.
    const still = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
    await still.goto(address);
    assert.ok(await still.locator('h1').isVisible());
    assert.ok(!(await still.locator('#live-follow').isVisible()), 'no control that does nothing');
    await still.click('#live-said a');
    assert.match(await still.innerText('body'), /Nobody waits for a lock/);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
