/**
 * `/`: the studies of the archive, newest first.
 *
 * For tests and scripts: `search`, `modality-filter`, `date-filter` and `clear-filters` narrow the list; each
 * `study-row` names its study in `data-study`, and has a `text-mark` where its name may be read wrong; `study-count`
 * says how many there are, `no-match` or `no-studies` that there are none, and `failure` why they cannot be told, in
 * `data-failure`. All of these are `data-testid`s.
 */

import { useEffect } from 'preact/hooks';
import { count, t } from '../i18n';
import { Failure } from '../ui/Failure';
import { LanguageSwitch } from '../ui/LanguageSwitch';
import { TrialBanner } from '../ui/TrialBanner';
import { Filters } from './Filters';
import { NoStudies } from './NoStudies';
import { StudyTable } from './StudyTable';
import { failure, hasMore, isBusy, refresh, showMore, studies, watch } from './list';
import './worklist.css';

export function WorklistPage() {
  useEffect(watch, []);
  useEffect(() => {
    document.title = `${t('list.title')} – ${t('app.name')}`;
  });
  return (
    <div class="page worklist">
      <TrialBanner />
      <header class="masthead">
        <h1>
          <img src="/favicon.svg" alt="" width="26" height="26" />
          {t('app.name')}
        </h1>
        <LanguageSwitch />
      </header>
      <main>
        <Filters />
        <Result />
      </main>
    </div>
  );
}

/** A list that was shown stays when a refresh fails; the footer then says that it may be old. */
function Result() {
  const rows = studies.value;
  const problem = failure.value;
  if (problem && (!rows || problem.kind === 'sign-in' || problem.kind === 'forbidden' || problem.kind === 'refused')) {
    return <Failure failure={problem} retry={() => void refresh()} />;
  }
  if (!rows) return <p class="waiting">{t('app.loading')}</p>;
  if (rows.length === 0) return <NoStudies />;
  return (
    <>
      <StudyTable rows={rows} />
      <Footer shown={rows.length} />
    </>
  );
}

function Footer({ shown }: { shown: number }) {
  return (
    <footer class="list-end">
      <span aria-live="polite" data-testid="study-count">
        {hasMore.value ? t('list.count.more', { n: shown }) : count('list.count', shown)}
      </span>
      {hasMore.value && (
        <button type="button" class="button" disabled={isBusy.value} onClick={showMore} data-testid="show-more">
          {t('list.more')}
        </button>
      )}
      <span class={failure.value ? 'live is-stale' : 'live'}>{t(failure.value ? 'list.stale' : 'list.live')}</span>
    </footer>
  );
}
