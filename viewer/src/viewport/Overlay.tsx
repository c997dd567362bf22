import { number, text } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import { count, t } from '../i18n';
import { edgesOf, type Edges } from './orientation';
import type { StackImage } from './stack';
import type { Stage } from './stage';
import { readableWindow } from './view';

/** What belongs to the image that is seen, in the corners of the viewport. */
export function Overlay({ stage }: { stage: Stage }) {
  const { images, others } = stage.stack.value;
  const seen = stage.seen.value;
  const image = seen && images[seen.index];
  if (!image) return null;
  return (
    <>
      <div class="corner top left">
        <span>{text(image.instance.dataSet, TAG.seriesDescription)}</span>
        <span>{sizeOf(image)}</span>
      </div>
      <div class="corner bottom left">
        <span data-testid="image-number">{t('view.image', { n: seen.index + 1, total: images.length })}</span>
        {image.instance.frames > 1 && (
          <span>{t('view.frame', { n: image.number, total: image.instance.frames })}</span>
        )}
        {stage.loaded.value.size < images.length && (
          <span class="faint">{t('view.loaded', { n: stage.loaded.value.size, total: images.length })}</span>
        )}
        {others.length > 0 && <span class="faint">{count('view.no-image.some', others.length)}</span>}
      </div>
      <Presentation stage={stage} />
      <Sides image={image} />
    </>
  );
}

function Presentation({ stage }: { stage: Stage }) {
  // The window of the pixels; a preview has the server's.
  const window = stage.seen.value?.quality === 'diagnostic' ? stage.window.value : undefined;
  const { zoom, isInverted } = stage.view.value;
  return (
    <div class="corner bottom right">
      {isInverted && <span>{t('view.inverted')}</span>}
      {window && <span data-testid="window">{t('view.window', readableWindow(window))}</span>}
      <span data-testid="zoom">{t('view.zoom', { percent: Math.round(zoom * 100) })}</span>
    </div>
  );
}

/** The patient's sides, in the letters that are the same in every language. */
function Sides({ image }: { image: StackImage }) {
  const edges = edgesOf(image);
  if (!edges) return null;
  return (
    <>
      {(Object.keys(edges) as (keyof Edges)[]).map((edge) => (
        <span key={edge} class={`side ${edge}`} data-testid={`side-${edge}`}>
          {edges[edge]}
        </span>
      ))}
    </>
  );
}

function sizeOf({ instance }: StackImage): string {
  const [columns, rows] = [number(instance.dataSet, TAG.columns), number(instance.dataSet, TAG.rows)];
  return columns && rows ? `${columns} × ${rows}` : '';
}
