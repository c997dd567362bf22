import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { number } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import { renderedUrl } from '../dicomweb/series';
import { t } from '../i18n';
import { LengthOverlay } from '../measurements/LengthOverlay';
import type { Actions } from '../tools/actions';
import { Overlay } from './Overlay';
import { kindOf, type StackImage } from './stack';
import type { Problem, Stage } from './stage';
import type { View } from './view';
import './viewport.css';

/**
 * The image and what is written over it.
 *
 * For tests and scripts: `data-state` is `loading`, `preview`, `diagnostic`, `no-image` or `error`; `data-image-index`
 * is the image that is seen, counted from 0 (the wanted one while nothing is seen); `aria-busy` is true while another
 * one is on its way. Within it, as `data-testid`: `image-number`, `window`, `zoom`, `length`, `preview-badge`,
 * `viewport-message` and the `slider`, which counts from 1.
 */
export function StackViewport({ stage, actions }: { stage: Stage; actions: Actions }) {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLDivElement>(null);
  useEffect(() => (canvas.current ? stage.attach(canvas.current) : undefined), [stage]);
  useEffect(() => (frame.current ? actions.listen(frame.current) : undefined), [actions]);
  const state = stage.state.value;
  const seen = stage.seen.value;
  return (
    <div
      ref={frame}
      class="viewport"
      role="group"
      aria-label={t('view.label')}
      aria-busy={state === 'loading' || (seen !== undefined && seen.index !== stage.wanted.value)}
      tabIndex={0}
      data-testid="viewport"
      data-state={state}
      data-image-index={seen?.index ?? stage.wanted.value}
      data-tool={actions.tool.value}
    >
      <div ref={canvas} class="canvas" />
      <Preview stage={stage} />
      {state === 'loading' && <p class="said quiet">{t('view.loading')}</p>}
      {state === 'no-image' && <NoImage stage={stage} />}
      {state === 'error' && <ImageProblem stage={stage} />}
      <LengthOverlay stage={stage} lengths={actions.lengths} />
      <Overlay stage={stage} />
      <Slider stage={stage} />
    </div>
  );
}

/** What the server drew, in place of an image that is not here yet; marked, for it is lossy. */
function Preview({ stage }: { stage: Stage }) {
  const image = stage.preview.value;
  if (!image) return null;
  return (
    <>
      <img
        key={image.imageId}
        class="preview"
        src={previewUrl(image, stage.view.value)}
        alt=""
        draggable={false}
        style={{ transform: transformOf(stage.view.value), filter: stage.view.value.isInverted ? 'invert(1)' : 'none' }}
        onLoad={() => stage.previewLoaded(image)}
        onError={(event) => (event.currentTarget.hidden = true)}
      />
      {stage.seen.value?.quality === 'preview' && (
        <p class="badge" role="status" data-testid="preview-badge">
          {t('view.preview')}
        </p>
      )}
    </>
  );
}

const PREVIEW_EDGE = 1024;

/** No larger than the image, for the server would blow it up. */
function previewUrl(image: StackImage, view: View): string {
  const { dataSet } = image.instance;
  const edge = Math.max(number(dataSet, TAG.rows) ?? 1, number(dataSet, TAG.columns) ?? 1);
  return renderedUrl(image, Math.min(edge, PREVIEW_EDGE), view.window);
}

function transformOf({ zoom, panX, panY }: View): string {
  return `translate(${panX}px, ${panY}px) scale(${zoom})`;
}

function NoImage({ stage }: { stage: Stage }) {
  const kinds = [...new Set(stage.stack.value.others.map((instance) => t(kindOf(instance.sopClassUid))))];
  return (
    <Said title={t('view.no-image.title')}>
      <p>{t('view.no-image.text', { kind: kinds.join(', ') || t('kind.other') })}</p>
    </Said>
  );
}

function ImageProblem({ stage }: { stage: Stage }) {
  const problem = stage.problem.value;
  if (!problem) return null;
  return (
    <Said title={t('view.error.title')}>
      <p>{t(isOurs(problem) ? `view.error.${problem}` : `failure.${problem}`)}</p>
      <button type="button" class="button" onClick={stage.retry}>
        {t('app.retry')}
      </button>
    </Said>
  );
}

function isOurs(problem: Problem): problem is 'decode' | 'unsupported' | 'engine' {
  return problem === 'decode' || problem === 'unsupported' || problem === 'engine';
}

function Said({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="said" role="alert" data-testid="viewport-message">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

function Slider({ stage }: { stage: Stage }) {
  const count = stage.stack.value.images.length;
  if (count < 2) return null;
  return (
    <input
      class="slider"
      type="range"
      min={1}
      max={count}
      value={stage.wanted.value + 1}
      aria-label={t('view.slider')}
      aria-valuetext={t('view.image', { n: stage.wanted.value + 1, total: count })}
      data-testid="slider"
      onInput={(event) => stage.seek(Number(event.currentTarget.value) - 1)}
    />
  );
}
