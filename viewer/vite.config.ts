import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import preact from '@preact/preset-vite';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const stub = (name: string) => fileURLToPath(new URL(`src/stubs/${name}`, import.meta.url));

/** Writes a `.br` sibling of every file that gains by it; the server picks it by Accept-Encoding. */
function brotliCopies(): Plugin {
  const compress = promisify(brotliCompress);
  let folder = 'dist';
  return {
    name: 'brotli-copies',
    apply: 'build',
    configResolved(config) {
      folder = config.build.outDir;
    },
    async closeBundle() {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.br'));
      await Promise.all(
        files.map(async (file) => {
          const path = join(file.parentPath, file.name);
          const raw = await readFile(path);
          const packed = await compress(raw, {
            params: {
              // The last level takes thrice the time of the build for a hundredth of the size of a large file.
              [constants.BROTLI_PARAM_QUALITY]: raw.length > 1_000_000 ? 9 : constants.BROTLI_MAX_QUALITY,
              [constants.BROTLI_PARAM_SIZE_HINT]: raw.length,
            },
          });
          if (packed.length < raw.length * 0.9) {
            await writeFile(`${path}.br`, packed);
          }
        }),
      );
    },
  };
}

type Change = [from: string, to: string];

/**
 * What the image loader gets wrong, by its files.
 *
 * Its worker extends the sign of decoded samples of grey and knows of nothing else, and that within unsigned arrays,
 * where the sign is lost: `src/viewport/samples.ts` reads them in its place, and puts colours of HTJ2K in order. Its
 * decoder of JPEG of 12 bits shifts the level as if the middle of 4096 values were 2063, so that all are 15 too high.
 */
const CHANGES: [file: string, changes: Change[]][] = [
  [
    '/decodeImageFrameWorker.js',
    [
      [
        'const shouldShift = imageFrame.pixelRepresentation !== undefined &&',
        `if (options.reading) {
        const { samples, lowest, highest } = read(imageFrame.pixelData, options.reading);
        Object.assign(imageFrame, { pixelData: samples, lowest, highest });
    }
    const shouldShift = !options.reading && imageFrame.pixelRepresentation !== undefined &&`,
      ],
      [
        'decodePromise = decodeHTJ2K(pixelData, opts);',
        `decodePromise = decodeHTJ2K(pixelData, opts);
            if (imageFrame.samplesPerPixel === 3 && areColoursApart(pixelData)) {
                decodePromise = decodePromise.then((frame) => ({
                    ...frame,
                    planarConfiguration: 0,
                    pixelData: coloursInOrder(frame.pixelData, frame.rows, frame.columns),
                }));
            }`,
      ],
      [
        "import { expose } from 'comlink';",
        `import { expose } from 'comlink';
import { areColoursApart, coloursInOrder, read } from ${JSON.stringify(fileURLToPath(new URL('src/viewport/samples.ts', import.meta.url)))};`,
      ],
    ],
  ],
  [
    '/codecs/jpeg.js',
    [
      ['(q + 2056 / component.bitConversion) >> 4', '(q + (Math.round(255 / component.bitConversion) + 1) * 8 + 8) >> 4'],
      ['q <= -2056 / component.bitConversion', 'q < -(Math.round(255 / component.bitConversion) + 1) * 8'],
      ['q >= 2024 / component.bitConversion', 'q >= (Math.round(255 / component.bitConversion) + 1) * 8 - 24'],
    ],
  ],
];

function loaderMended(): Plugin {
  return {
    name: 'loader-mended',
    transform(code, id) {
      const [file, changes] = CHANGES.find(([file]) => id.endsWith(file)) ?? [];
      if (!changes) return undefined;
      const changed = changes.reduce((before, [from, to]) => {
        if (!before.includes(from)) throw new Error(`${file} of the image loader has changed: is it still wrong?`);
        return before.replace(from, () => to);
      }, code);
      return { code: changed, map: null };
    },
  };
}

export default defineConfig({
  plugins: [preact({ devToolsEnabled: false, prefreshEnabled: false }), loaderMended(), brotliCopies()],
  resolve: {
    alias: {
      // vtk.js reaches these through its XML and archive readers, which a stack of frames never uses;
      // bundled as they are, xmlbuilder2 breaks at start-up.
      xmlbuilder2: stub('xmlbuilder2.ts'),
      fs: stub('empty.ts'),
      path: stub('empty.ts'),
    },
  },
  worker: { format: 'es', plugins: () => [loaderMended()] },
  optimizeDeps: { exclude: ['@cornerstonejs/dicom-image-loader'] },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    // The terms of what is bundled ask to be shipped with it.
    license: { fileName: 'licences.txt' },
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2500,
  },
  server: {
    proxy: {
      '/dicom-web': 'http://127.0.0.1:8080',
      '/api': 'http://127.0.0.1:8080',
    },
  },
  test: { include: ['test/**/*.test.ts'] },
});
