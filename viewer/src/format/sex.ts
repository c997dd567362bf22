import { t } from '../i18n';

/** The sex in words; a code that is not of PS3.3 §C.7.1.1 as it is. */
export function readableSex(code: string): string {
  return code === 'F' || code === 'M' || code === 'O' ? t(`sex.${code}`) : code;
}
