// A reader's walk through the viewer in a headless Chromium.
//
//   node reading.mjs CHROMIUM URL FOLDER '{"language": "vi", "width": 1280, "height": 800, "words": "nguyen"}'
//
// Opens the list, searches, opens the first study, waits for the diagnostic image, drags the window, scrolls, and
// prints what it saw as one JSON object; screenshots go to FOLDER. What is right is judged by the test that calls it.

import { join } from 'node:path';
import { chromium } from 'playwright-core';

const PATIENCE = 30_000;

const [executablePath, url, folder, wishes] = process.argv.slice(2);
const { language, width, height, words } = JSON.parse(wishes);

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const page = await browser.newPage({ viewport: { width, height }, locale: language });
page.setDefaultTimeout(PATIENCE);
try {
  const problems = listenForProblems(page);
  const seen = { list: await readList(page), study: await readStudy(page), problems };
  process.stdout.write(JSON.stringify(seen));
} catch (error) {
  await page.screenshot({ path: join(folder, 'failure.png') });
  console.error(`${error.message}\nat ${page.url()}, which reads:\n${await page.innerText('body')}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

/** Errors of the page, and requests that leave the server. */
function listenForProblems(page) {
  const problems = { errors: [], elsewhere: [], failed: [] };
  const own = new URL(url).origin;
  page.on('pageerror', (error) => problems.errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.errors.push(message.text()));
  page.on('request', (request) => {
    const asked = new URL(request.url());
    if (asked.protocol.startsWith('http') && asked.origin !== own) problems.elsewhere.push(request.url());
  });
  page.on('response', (response) => {
    if (response.status() >= 400) problems.failed.push(`${response.status()} ${response.url()}`);
  });
  return problems;
}

async function readList(page) {
  await page.goto(url);
  const rows = page.getByTestId('study-row');
  await rows.first().waitFor();
  const all = await rows.count();
  await page.getByTestId(`language-${language}`).click();
  await page.waitForFunction((code) => document.documentElement.lang === code, language);
  const heading = await page.getByTestId('study-count').innerText();
  await page.screenshot({ path: join(folder, 'list.png') });
  await page.getByTestId('search').fill(words);
  await page.waitForFunction((before) => document.querySelectorAll('[data-testid=study-row]').length < before, all);
  const found = await rows.allInnerTexts();
  await page.screenshot({ path: join(folder, 'found.png') });
  return { all, found, heading, banner: await page.getByTestId('trial-banner').count(), ...(await overflow(page)) };
}

async function readStudy(page) {
  await page.getByTestId('study-row').first().click();
  const viewport = page.getByTestId('viewport');
  await diagnostic(page, 0);
  const patient = await page.getByTestId('patient-banner').innerText();
  const first = await picture(page);
  await page.screenshot({ path: join(folder, 'study.png') });
  const window = page.getByTestId('window');
  const before = await window.innerText();
  await drag(page, viewport, 60, 40);
  await page.waitForFunction((text) => document.querySelector('[data-testid=window]')?.innerText !== text, before);
  const after = await window.innerText();
  const windowed = await picture(page);
  await viewport.hover();
  await page.mouse.wheel(0, 120);
  await diagnostic(page, 1);
  const second = await picture(page);
  await page.keyboard.press('End');
  const last = Number(await page.getByTestId('slider').getAttribute('max')) - 1;
  await diagnostic(page, last);
  await page.screenshot({ path: join(folder, 'last.png') });
  return { patient, window: { before, after }, pictures: { first, windowed, second }, last, ...(await overflow(page)) };
}

/** Waits until the image of that index is seen in diagnostic quality. */
async function diagnostic(page, index) {
  await page.locator(`[data-testid=viewport][data-state=diagnostic][data-image-index="${index}"]`).waitFor();
}

async function drag(page, viewport, dx, dy) {
  const box = await viewport.boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + dx, y + dy, { steps: 5 });
  await page.mouse.up();
}

/** How many greys the canvas shows, and a number that tells one picture from another. */
async function picture(page) {
  return page.locator('[data-testid=viewport] canvas').first().evaluate((canvas) => {
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext('2d');
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, copy.width, copy.height);
    const greys = new Set();
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      greys.add(data[at]);
      sum = (sum * 31 + data[at]) % 0x7fffffff;
    }
    return { greys: greys.size, sum };
  });
}

/** Whether the page is wider than the window: then something is cut off, or has to be pushed about. */
async function overflow(page) {
  return page.evaluate(() => ({ overflows: document.documentElement.scrollWidth > window.innerWidth + 1 }));
}
