import { signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { thumbnailUrl, type Series } from '../dicomweb/series';
import { readableDate } from '../format/date';
import { count, language, t } from '../i18n';
import { isSame, type OpenStudy, type StudyState } from './state';

/** The series to choose from, each with a thumbnail; a heading a study when there are several. */
export function SeriesRail({ state }: { state: StudyState }) {
  const opened = state.studies.value;
  return (
    <nav class="rail" aria-label={t('study.series')} data-testid="series-rail">
      {opened === undefined && <p class="waiting">{t('app.loading')}</p>}
      {opened?.map((open) => (
        <StudySeries key={open.study.studyInstanceUid} open={open} state={state} isTitled={opened.length > 1} />
      ))}
    </nav>
  );
}

function StudySeries({ open, state, isTitled }: { open: OpenStudy; state: StudyState; isTitled: boolean }) {
  return (
    <>
      {isTitled && (
        <h2>
          {readableDate(open.study.studyDate, language.value)} {open.study.studyDescription}
        </h2>
      )}
      {open.series.map((series) => (
        <SeriesButton
          key={series.seriesInstanceUid}
          series={series}
          isChosen={isSame(state.chosen.value, series)}
          choose={() => void state.choose(series)}
        />
      ))}
    </>
  );
}

function SeriesButton({ series, isChosen, choose }: { series: Series; isChosen: boolean; choose: () => void }) {
  return (
    <button
      type="button"
      class="series"
      aria-pressed={isChosen}
      data-testid="series"
      data-series={series.seriesInstanceUid}
      onClick={choose}
    >
      <Thumbnail series={series} />
      <span class="words">
        <span class="title">{titleOf(series)}</span>
        <span class="faint">
          <span class="tag">{series.modality}</span>
          {series.instanceCount !== undefined && count('study.series.images', series.instanceCount)}
        </span>
      </span>
    </button>
  );
}

function titleOf(series: Series): string {
  return series.seriesDescription || series.bodyPartExamined || t('study.series.number', { n: series.seriesNumber ?? '–' });
}

/** The server's thumbnail; the modality in its place when there is none. */
function Thumbnail({ series }: { series: Series }) {
  const isMissing = useMemo(() => signal(false), [series]);
  if (isMissing.value) return <span class="thumbnail none">{series.modality}</span>;
  return (
    <img
      class="thumbnail"
      src={thumbnailUrl(series)}
      alt=""
      width="72"
      height="72"
      loading="lazy"
      draggable={false}
      data-testid="thumbnail"
      onError={() => (isMissing.value = true)}
    />
  );
}
