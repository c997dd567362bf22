import { language, t } from '../i18n';
import type { StackImage } from '../viewport/stack';
import type { Stage } from '../viewport/stage';
import type { Point } from './calibration';
import { lengthOf, type Lengths, type Line } from './lengths';

/** The lengths of the image that is seen, over its own pixels only: a preview has none to measure. */
export function LengthOverlay({ stage, lengths }: { stage: Stage; lengths: Lengths }) {
  const seen = stage.seen.value;
  const image = seen?.quality === 'diagnostic' ? stage.stack.value.images[seen.index] : undefined;
  const lines = image && lengths.lines.value.get(image.imageId);
  if (!image || !lines || lines.length === 0) return null;
  return (
    <svg class="lengths" aria-hidden="true" data-drawn={stage.drawn.value}>
      {lines.map((line, index) => (
        <LineMark
          key={index}
          from={stage.toCanvas(line.from)}
          to={stage.toCanvas(line.to)}
          label={readableLength(line, image)}
        />
      ))}
    </svg>
  );
}

function LineMark({ from, to, label }: { from: Point | undefined; to: Point | undefined; label: string }) {
  if (!from || !to) return null;
  const right = from.x > to.x ? from : to;
  return (
    <g>
      <line class="under" x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
      <line x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
      <circle cx={from.x} cy={from.y} r="3" />
      <circle cx={to.x} cy={to.y} r="3" />
      <text x={right.x + 8} y={right.y + 4} data-testid="length">
        {label}
      </text>
    </g>
  );
}

function readableLength(line: Line, image: StackImage): string {
  const { length, scale } = lengthOf(line, image);
  const digits = scale === 'pixel' ? 0 : 1;
  const n = new Intl.NumberFormat(language.value, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(length);
  return t(`length.${scale}`, { n });
}
