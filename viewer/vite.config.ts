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

/**
 * Signed samples that a codec gives as unsigned, as some Toshiba CTs' JPEG 2000 does, are signed again. The image
 * loader extends the sign within the unsigned array, where it is lost, and the grey values come out wrong.
 */
function signedSamples(): Plugin {
  const loop = 'if (shouldShift && shift !== undefined) {';
  const mended = `${loop}
    const unsigned = imageFrame.pixelData;
    const Signed = unsigned instanceof Uint16Array ? Int16Array : unsigned instanceof Uint8Array ? Int8Array : undefined;
    if (Signed) imageFrame.pixelData = new Signed(unsigned.buffer, unsigned.byteOffset, unsigned.length);`;
  return {
    name: 'signed-samples',
    transform(code, id) {
      if (!id.endsWith('/decodeImageFrameWorker.js')) return undefined;
      if (!code.includes(loop)) throw new Error('the image loader has changed: is signed-samples still needed?');
      return { code: code.replace(loop, mended), map: null };
    },
  };
}

export default defineConfig({
  plugins: [preact({ devToolsEnabled: false, prefreshEnabled: false }), signedSamples(), brotliCopies()],
  resolve: {
    alias: {
      // vtk.js reaches these through its XML and archive readers, which a stack of frames never uses;
      // bundled as they are, xmlbuilder2 breaks at start-up.
      xmlbuilder2: stub('xmlbuilder2.ts'),
      fs: stub('empty.ts'),
      path: stub('empty.ts'),
    },
  },
  worker: { format: 'es', plugins: () => [signedSamples()] },
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
