// A reader's walk through OHIF, served from another origin than the archive, in a headless Chromium.
//
//   node ohif.mjs CHROMIUM DIST DICOMWEB PORT FOLDER '{"words": "nguyen", "ct": "1.2", "other": "1.3"}'
//
// DIST is the folder of the built application; it is served on PORT of loopback with settings that name DICOMWEB. Searches
// the study list, opens `ct` (a CT with a segmentation), measures, saves the measurement as a report and opens that again;
// opens `other` (a cine loop and an ECG). Prints what it saw as one JSON object; screenshots go to FOLDER. What is right is
// judged by the test that calls it.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const PATIENCE = 60_000;
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
};

const [executablePath, dist, dicomweb, port, folder, wishes] = process.argv.slice(2);
const { words, ct, other } = JSON.parse(wishes);
const own = `http://127.0.0.1:${port}`;

const settings = {
  routerBasename: null,
  extensions: [],
  modes: [],
  showStudyList: true,
  investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 1,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  defaultDataSourceName: 'filmless',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'filmless',
      configuration: {
        friendlyName: 'filmless',
        name: 'filmless',
        wadoUriRoot: dicomweb.replace(/[^/]*$/, 'wado'),
        qidoRoot: dicomweb,
        wadoRoot: dicomweb,
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
// The list filters once more what the archive has found, letter by letter: a name found without its marks would be hidden.
const configuration = `window.config = ${JSON.stringify(settings)};
window.config.customizationService = {
  'workList.columns': { $apply: (columns) => columns.map((column) => (column.id === 'patient' ? { ...column, filterFn: () => true } : column)) },
};`;

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, own).pathname));
  // Pages of the application have no file of their own.
  const file = extname(path) === '' ? '/index.html' : path;
  try {
    const bytes = file === '/app-config.js' ? configuration : await readFile(join(dist, file));
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(Number(port), '127.0.0.1', resolve));

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
page.setDefaultTimeout(PATIENCE);
try {
  const problems = listenForProblems();
  const seen = { list: await readList(), ct: await readCt(), report: await report(), other: await readOther(), problems };
  process.stdout.write(JSON.stringify(seen));
} catch (error) {
  await page.screenshot({ path: join(folder, 'failure.png') });
  console.error(`${error.message}\nat ${page.url()}, which reads:\n${await page.innerText('body')}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
}

/** Answers of the archive that are refusals, and requests to anybody else. */
function listenForProblems() {
  const problems = { failed: [], elsewhere: [] };
  const archive = new URL(dicomweb).origin;
  page.on('response', (response) => {
    const asked = new URL(response.url());
    if (asked.origin === archive && response.status() >= 400) problems.failed.push(`${response.status()} ${response.url()}`);
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText ?? '';
    // What is given up when a page is left is nobody's failure.
    if (new URL(request.url()).origin === archive && why !== 'net::ERR_ABORTED') problems.failed.push(`${why} ${request.url()}`);
  });
  page.on('request', (request) => {
    const asked = new URL(request.url());
    if (asked.protocol.startsWith('http') && ![archive, own].includes(asked.origin)) problems.elsewhere.push(request.url());
  });
  return problems;
}

async function readList() {
  await page.goto(`${own}/`);
  const rows = page.locator('tbody tr', { hasText: 'ACC' });
  await rows.nth(1).waitFor();
  const all = await rows.allInnerTexts();
  await page.screenshot({ path: join(folder, 'list.png') });
  const asked = page.waitForResponse((response) => response.url().includes('PatientName='));
  await page.locator('input').first().fill(words);
  await asked;
  await until('fewer studies are listed', async () => (await rows.count()) < all.length);
  const found = await rows.allInnerTexts();
  await page.screenshot({ path: join(folder, 'found.png') });
  return { all, found };
}

async function readCt() {
  await open(ct);
  await skipTour();
  const image = await picture('ct.png');
  await thumbnail('SEG').dblclick();
  await answerYes(/open this segmentation/i);
  await until('the segmentation is seen', async () => (await picture('seg.png')).coloured > 30_000);
  const overlay = await picture('seg.png');
  await page.locator('[data-cy=panelSegmentation-btn]').click();
  const panel = await page.getByText('Nốt phổi').first().innerText();
  await page.screenshot({ path: join(folder, 'segments.png') });
  return { image, overlay, panel };
}

/** Measures, saves, and opens what was saved. */
async function report() {
  await open(ct);
  await page.locator('[data-cy=Length-btn]').click();
  const box = await page.locator('[data-cy=viewport-pane]').first().boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x - 60, y);
  await page.mouse.down();
  for (const step of [1, 2, 3, 4]) await page.mouse.move(x - 60 + step * 40, y + step * 5, { steps: 2 });
  await page.mouse.up();
  await answerYes(/track measurements/i);
  await page.locator('[data-cy=trackedMeasurements-btn]').click();
  await page.getByText('Create SR').click();
  const stored = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.getByRole('dialog').getByText('Save', { exact: true }).click();
  const status = (await stored).status();
  await page.screenshot({ path: join(folder, 'saved.png') });
  await open(ct);
  await thumbnail('SR').dblclick();
  await answerYes(/continue tracking/i);
  await page.locator('[data-cy=trackedMeasurements-btn]').click();
  await page.getByText('Measurements (1)').waitFor();
  await page.screenshot({ path: join(folder, 'report.png') });
  const shown = await page.locator('body').innerText();
  return { status, shown };
}

async function readOther() {
  await page.goto(`${own}/viewer?StudyInstanceUIDs=${other}`);
  await page.getByText('1/12').waitFor();
  await until('the cine loop is seen', async () => (await picture('cine.png')).coloured > 30_000);
  const first = await picture('cine.png');
  await page.locator('[data-cy=viewport-pane]').first().hover();
  await page.mouse.wheel(0, 100);
  await until('the next frame is another picture', async () => (await picture('next.png')).sum !== first.sum);
  const next = await picture('next.png');
  await thumbnail('ECG').dblclick();
  await page.getByText('ECG 2').nth(1).waitFor();
  await until('the leads are seen', async () => (await picture('ecg.png')).bright > 1000);
  return { first, next, ecg: await picture('ecg.png') };
}

async function open(study) {
  await page.goto(`${own}/viewer?StudyInstanceUIDs=${study}`);
  await page.getByText('1/24').waitFor();
  await until('the image is seen', async () => (await picture('opened.png')).greys > 3);
}

/** The application shows itself around to whoever is new. */
async function skipTour() {
  await page.getByText('Skip all').click();
}

function thumbnail(modality) {
  return page.locator('[data-cy=study-browser-thumbnail], [data-cy=study-browser-thumbnail-no-image]', { hasText: modality }).first();
}

async function answerYes(question) {
  await page.getByText(question).waitFor();
  await page.getByText('Yes', { exact: true }).first().click();
}

async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await page.waitForTimeout(250);
  }
}

/** What the first viewport shows: how many greys, how many points in colour or bright, and a number for all of it. */
async function picture(name) {
  const image = await page.locator('[data-cy=viewport-pane]').first().screenshot({ path: join(folder, name) });
  return page.evaluate(async (encoded) => {
    const response = await fetch(`data:image/png;base64,${encoded}`);
    const bitmap = await createImageBitmap(await response.blob());
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const greys = new Set();
    let [coloured, bright, sum] = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
      const point = [data[at], data[at + 1], data[at + 2]];
      const [low, high] = [Math.min(...point), Math.max(...point)];
      if (high - low > 60) coloured += 1;
      else greys.add(high);
      if (low > 200) bright += 1;
      sum = (sum * 31 + point[0] * 65536 + point[1] * 256 + point[2]) % 0x7fffffff;
    }
    return { greys: greys.size, coloured, bright, sum };
  }, image.toString('base64'));
}
