import { t } from '../i18n';
import { isEverything } from './filter';
import { choice } from './list';

/** An empty list: how to send images when the archive is empty, what to change when nothing matches. */
export function NoStudies() {
  if (!isEverything(choice.value)) {
    return (
      <div class="notice" data-testid="no-match">
        <h2>{t('list.none.title')}</h2>
        <p>{t('list.none.text')}</p>
      </div>
    );
  }
  const host = location.hostname;
  return (
    <div class="notice" data-testid="no-studies">
      <h2>{t('list.empty.title')}</h2>
      <p>{t('list.empty.text')}</p>
      <dl>
        <dt>{t('list.empty.dimse')}</dt>
        <dt>{t('list.empty.command')}</dt>
        <dd>
          <code>{`storescu -aec FILMLESS +sd +r ${host} 11112 DIR`}</code>
        </dd>
        <dt>{t('list.empty.import')}</dt>
        <dd>
          <code>{'filmless import DIR'}</code>
        </dd>
      </dl>
    </div>
  );
}
