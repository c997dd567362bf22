import type { RefObject } from 'preact';
import { t, type Key } from '../i18n';

type Row = [keys: string | Key, action: Key];

const KEYS: Row[] = [
  ['↑ ↓ ← →', 'help.step'],
  ['PgUp PgDn', 'help.leap'],
  ['Home End', 'help.ends'],
  ['[ ]', 'help.series'],
  ['W Z P S L', 'help.tools'],
  ['1 … 5, 0', 'help.presets'],
  ['Del', 'tool.clear'],
  ['I', 'help.invert'],
  ['R', 'help.reset'],
  ['C', 'help.play'],
  ['+ −', 'help.zooming'],
  ['?', 'help.this'],
];

const MOUSE: Row[] = [
  ['help.wheel', 'help.step'],
  ['help.wheel.ctrl', 'help.zooming'],
  ['help.drag.left', 'help.drag.left.does'],
  ['help.drag.middle', 'tool.pan'],
  ['help.drag.right', 'tool.zoom'],
  ['help.double', 'help.reset'],
];

const TOUCH: Row[] = [
  ['help.finger.single', 'help.drag.left.does'],
  ['help.finger.double', 'help.finger.double.does'],
];

/** Every key and gesture of the study page. */
export function HelpDialog({ dialog }: { dialog: RefObject<HTMLDialogElement | null> }) {
  const close = () => dialog.current?.close();
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-label={t('help.title')}
      data-testid="help"
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div class="sheet">
        <header>
          <h2>{t('help.title')}</h2>
          <button type="button" class="button" onClick={close}>
            {t('app.close')}
          </button>
        </header>
        <Table title="help.keys" rows={KEYS} isKeyboard />
        <Table title="help.mouse" rows={MOUSE} />
        <Table title="help.touch" rows={TOUCH} />
        <a class="faint" href="/licences.txt" target="_blank" rel="noopener">
          {t('app.licences')}
        </a>
      </div>
    </dialog>
  );
}

function Table({ title, rows, isKeyboard = false }: { title: Key; rows: Row[]; isKeyboard?: boolean }) {
  return (
    <section>
      <h3>{t(title)}</h3>
      <dl>
        {rows.map(([keys, action]) => (
          <div key={keys}>
            <dt>{isKeyboard ? <kbd>{keys}</kbd> : t(keys as Key)}</dt>
            <dd>{t(action)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
