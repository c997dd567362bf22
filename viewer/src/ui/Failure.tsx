import type { RequestFailure } from '../dicomweb/client';
import { t } from '../i18n';

/** What went wrong and what to do about it. */
export function Failure({ failure, retry }: { failure: RequestFailure; retry: () => void }) {
  return (
    <div class="notice" role="alert" data-testid="failure" data-failure={failure.kind}>
      <h2>{t('failure.title')}</h2>
      <p>{t(`failure.${failure.kind}`)}</p>
      <button type="button" class="button" onClick={retry}>
        {t('app.retry')}
      </button>
    </div>
  );
}
