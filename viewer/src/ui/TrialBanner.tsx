import { signal } from '@preact/signals';
import { serverStatus } from '../dicomweb/server';
import { t } from '../i18n';

const isTrial = signal(false);

export async function learnServerStatus(): Promise<void> {
  isTrial.value = (await serverStatus())?.open ?? false;
}

/** Says that the server lets anybody in, when it does. */
export function TrialBanner() {
  if (!isTrial.value) return null;
  return (
    <aside class="trial" data-testid="trial-banner">
      {t('app.trial')}
    </aside>
  );
}
