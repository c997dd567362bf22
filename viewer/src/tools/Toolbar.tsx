import { t, type Key } from '../i18n';
import type { Stage } from '../viewport/stage';
import type { Actions } from './actions';
import { TOOLS } from './gestures';
import { Icon, type IconName } from './icons';
import { presetOf, type Preset } from './presets';

interface Props {
  stage: Stage;
  actions: Actions;
  presets: readonly Preset[];
  help: () => void;
}

/** The tools; the one of the left button is pressed. */
export function Toolbar({ stage, actions, presets, help }: Props) {
  const { tool, isPlaying } = actions;
  return (
    <div class="toolbar" role="toolbar" aria-label={t('tool.group')}>
      {TOOLS.map((name) => (
        <ToolButton
          key={name}
          icon={name}
          label={`tool.${name}`}
          isPressed={tool.value === name}
          press={() => (tool.value = name)}
        />
      ))}
      {hasLengths(stage, actions) && <ToolButton icon="clear" label="tool.clear" press={actions.clear} />}
      <span class="divider" />
      {presets.length > 0 && <PresetChoice stage={stage} actions={actions} presets={presets} />}
      <ToolButton icon="invert" label="tool.invert" isPressed={stage.view.value.isInverted} press={actions.invert} />
      <ToolButton icon="reset" label="tool.reset" press={actions.reset} />
      {stage.stack.value.images.length > 1 && (
        <ToolButton
          icon={isPlaying.value ? 'stop' : 'play'}
          label={isPlaying.value ? 'tool.stop' : 'tool.play'}
          press={actions.play}
        />
      )}
      <span class="divider" />
      <ToolButton icon="help" label="tool.help" press={help} />
    </div>
  );
}

function hasLengths(stage: Stage, { lengths }: Actions): boolean {
  const image = stage.stack.value.images[stage.seen.value?.index ?? -1];
  return image !== undefined && (lengths.lines.value.get(image.imageId)?.length ?? 0) > 0;
}

interface ButtonProps {
  icon: IconName;
  label: Key & `tool.${string}`;
  press: () => void;
  isPressed?: boolean;
}

function ToolButton({ icon, label, press, isPressed }: ButtonProps) {
  return (
    <button
      type="button"
      class="tool"
      data-testid={label.replace('.', '-')}
      title={t(label)}
      {...(isPressed === undefined ? {} : { 'aria-pressed': isPressed })}
      onClick={press}
    >
      <Icon name={icon} />
      <span>{t(label)}</span>
    </button>
  );
}

const CUSTOM = 'custom';

function PresetChoice({ stage, actions, presets }: Omit<Props, 'help'>) {
  const { window } = stage.view.value;
  const current = presetOf(presets, window)?.name ?? (window ? CUSTOM : '');
  return (
    <label class="preset">
      <span>{t('tool.preset')}</span>
      <select
        value={current}
        data-testid="preset"
        onChange={(event) => {
          const name = event.currentTarget.value;
          actions.preset(presets.find((preset) => preset.name === name));
          event.currentTarget.blur();
        }}
      >
        <option value="">{t('preset.default')}</option>
        {presets.map(({ name }) => (
          <option key={name} value={name}>
            {t(name)}
          </option>
        ))}
        {current === CUSTOM && <option value={CUSTOM}>{t('preset.custom')}</option>}
      </select>
    </label>
  );
}
