// What the viewer shows, beside what the server renders, in a headless Chromium.
//
//   node pictures.mjs CHROMIUM URL FOLDER '{"renderer": "cpu", "images": [{"name": "…", "study": "1.2", "rendered": "/dicom-web/…"}]}'
//
// Opens each study, waits until its first image is seen in diagnostic quality or refused, and compares the canvas with
// `rendered`, drawn where the image lies. `window` of an image is chosen by dragging and asked for. With `renderer` "gpu"
// Cornerstone is told that a graphics card does what software does. Prints one JSON object, by name: the state, the
// greatest difference where the rendering is smooth, of 255, and how many such pixels there were; screenshots go to
// FOLDER. What is right is judged by the test that calls it.

import { join } from 'node:path';
import { chromium } from 'playwright-core';

const PATIENCE = 30_000;

const [executablePath, url, folder, wishes] = process.argv.slice(2);
const { renderer, images } = JSON.parse(wishes);

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--enable-unsafe-swiftshader'],
});
const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
page.setDefaultTimeout(PATIENCE);
const errors = [];
page.on('pageerror', (error) => errors.push(String(error)));
if (renderer === 'gpu') await page.addInitScript(pretendCard);
try {
  const seen = {};
  for (const image of images) seen[image.name] = await look(image);
  process.stdout.write(JSON.stringify(seen));
} finally {
  await browser.close();
}

/** Software that draws WebGL is told apart by the name of the renderer. */
function pretendCard() {
  for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
    const { getParameter } = kind.prototype;
    const RENDERER = 0x9246;
    kind.prototype.getParameter = function (name) {
      return name === RENDERER || name === this.RENDERER ? 'a graphics card' : getParameter.call(this, name);
    };
  }
}

async function look({ name, study, rendered, drag }) {
  errors.length = 0;
  await page.goto(`${url}viewer?StudyInstanceUIDs=${study}`);
  await page.locator('[data-testid=viewport]:is([data-state=diagnostic], [data-state=error])').waitFor();
  const before = await readWindow();
  if (drag) await dragged(drag);
  await page.screenshot({ path: join(folder, `${name.replaceAll(' ', '-')}-${renderer}.png`) });
  const state = await page.getByTestId('viewport').getAttribute('data-state');
  const window = drag ? await readWindow() : before;
  if (state !== 'diagnostic') return { state, said: await page.getByTestId('viewport').innerText(), errors: [...errors] };
  const asked = drag ? `${rendered}?window=${window.center},${window.width},linear` : rendered;
  const compared = await page.evaluate(compare, new URL(asked, url).href);
  return { state, window, ...compared, errors: [...errors] };
}

async function readWindow() {
  const label = page.getByTestId('window');
  if ((await label.count()) === 0) return undefined;
  const [width, center] = (await label.innerText()).match(/-?\d+(?:\.\d+)?/g).map(Number);
  return { width, center };
}

/** Chooses another window, and waits for it. */
async function dragged([dx, dy]) {
  const label = page.getByTestId('window');
  const before = await label.innerText();
  const box = await page.getByTestId('viewport').boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + dx, y + dy);
  await page.mouse.up();
  await page.waitForFunction((text) => document.querySelector('[data-testid=window]')?.innerText !== text, before);
}

/** In the page: the canvas beside the rendering, which is fitted and centred as the viewer does it. */
async function compare(rendered) {
  const answer = await fetch(rendered, { headers: { Accept: 'image/png' } });
  if (!answer.ok) return { rendered: answer.status };
  const picture = await createImageBitmap(await answer.blob());
  const shown = document.querySelector('[data-testid=viewport] canvas');
  const { width, height } = shown;
  const scale = Math.min(width / picture.width, height / picture.height);
  const [left, top] = [(width - picture.width * scale) / 2, (height - picture.height * scale) / 2];
  const pixelsOf = (draw) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    draw(context);
    return context.getImageData(0, 0, width, height).data;
  };
  const ours = pixelsOf((context) => context.drawImage(shown, 0, 0));
  const theirs = pixelsOf((context) => {
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, left, top, picture.width * scale, picture.height * scale);
  });
  const margin = 4 * Math.ceil(scale);
  let [worst, compared, all] = [0, 0, 0];
  const at = (x, y) => (y * width + x) * 4;
  for (let y = Math.ceil(top) + margin; y < top + picture.height * scale - margin; y += 3) {
    for (let x = Math.ceil(left) + margin; x < left + picture.width * scale - margin; x += 3) {
      all += 1;
      const colours = [0, 1, 2];
      const around = [at(x - margin, y), at(x + margin, y), at(x, y - margin), at(x, y + margin)];
      const isSmooth = colours.every((colour) =>
        around.every((place) => Math.abs(theirs[place + colour] - theirs[at(x, y) + colour]) <= 24),
      );
      if (!isSmooth) continue;
      compared += 1;
      for (const colour of colours) worst = Math.max(worst, Math.abs(ours[at(x, y) + colour] - theirs[at(x, y) + colour]));
    }
  }
  return { worst, compared, all };
}
