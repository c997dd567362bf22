import { useEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { EVERYTHING, MODALITIES, PERIODS, isEverything, type Period } from './filter';
import { choice, narrow } from './list';

/** The search field and the filters. `/` goes to the search field from anywhere on the page. */
export function Filters() {
  const { words, modality, period } = choice.value;
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchField words={words} />
      <label>
        <span>{t('list.modality')}</span>
        <select
          value={modality}
          data-testid="modality-filter"
          onChange={(event) => narrow({ modality: event.currentTarget.value })}
        >
          <option value="">{t('list.modality.all')}</option>
          {MODALITIES.map((code) => (
            <option key={code} value={code}>
              {code}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>{t('list.date')}</span>
        <select
          value={period}
          data-testid="date-filter"
          onChange={(event) => narrow({ period: event.currentTarget.value as Period })}
        >
          {PERIODS.map((code) => (
            <option key={code} value={code}>
              {t(`list.date.${code}`)}
            </option>
          ))}
        </select>
      </label>
      {period === 'range' && <DateRange />}
      {!isEverything(choice.value) && (
        <button type="button" class="button quiet" onClick={() => narrow(EVERYTHING)} data-testid="clear-filters">
          {t('list.clear')}
        </button>
      )}
    </form>
  );
}

function SearchField({ words }: { words: string }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key !== '/' || typing) return;
      event.preventDefault();
      field.current?.focus();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  return (
    <label class="search">
      <span>{t('list.search')}</span>
      <input
        ref={field}
        type="search"
        value={words}
        placeholder={t('list.search.hint')}
        autocomplete="off"
        spellcheck={false}
        data-testid="search"
        onInput={(event) => narrow({ words: event.currentTarget.value })}
      />
    </label>
  );
}

function DateRange() {
  const { from, to } = choice.value;
  return (
    <>
      <label>
        <span>{t('list.date.from')}</span>
        <input type="date" value={from} onChange={(event) => narrow({ from: event.currentTarget.value })} />
      </label>
      <label>
        <span>{t('list.date.to')}</span>
        <input type="date" value={to} onChange={(event) => narrow({ to: event.currentTarget.value })} />
      </label>
    </>
  );
}
