import { LANGUAGES, choose, language, t, type Language } from '../i18n';

/** One button a language, the page's own pressed. */
export function LanguageSwitch() {
  return (
    <div class="languages" role="group" aria-label={t('app.language')}>
      {(Object.keys(LANGUAGES) as Language[]).map((code) => (
        <button
          key={code}
          type="button"
          lang={code}
          title={LANGUAGES[code]}
          aria-pressed={language.value === code}
          data-testid={`language-${code}`}
          onClick={() => void choose(code)}
        >
          {code.toUpperCase()}
        </button>
      ))}
    </div>
  );
}
