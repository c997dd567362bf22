/**
 * `/viewer?StudyInstanceUIDs=…`: the series of one or more studies and the images of one series.
 *
 * For tests and scripts, as `data-testid`: `patient-banner`, and `text-remarks` in it where text may be read wrong; a
 * `series` button each, named in `data-series`; the buttons `tool-window`, `tool-zoom`, `tool-pan`, `tool-scroll`,
 * `tool-length`, `tool-clear`, `tool-invert`, `tool-reset`, `tool-play`, `tool-help`; the choice `preset`; `back`. What
 * is seen is told by the viewport.
 */

import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { createActions, type Actions } from '../tools/actions';
import { HelpDialog } from '../tools/HelpDialog';
import { listenToKeys } from '../tools/hotkeys';
import { presetsOf } from '../tools/presets';
import { Toolbar } from '../tools/Toolbar';
import { Failure } from '../ui/Failure';
import { LanguageSwitch } from '../ui/LanguageSwitch';
import { TrialBanner } from '../ui/TrialBanner';
import { followLink } from '../ui/address';
import type { Stack } from '../viewport/stack';
import { createStage, type Stage } from '../viewport/stage';
import { StackViewport } from '../viewport/StackViewport';
import { PatientBanner } from './PatientBanner';
import { SeriesRail } from './SeriesRail';
import { createStudyState, isSame, type Display, type StudyState } from './state';
import './study.css';

export function StudyPage({ studies: uids }: { studies: string[] }) {
  const stage = useMemo(createStage, []);
  const actions = useMemo(() => createActions(stage), [stage]);
  const state = useMemo(() => createStudyState(uids, displayOn(stage, actions)), [stage]);
  const help = useRef<HTMLDialogElement>(null);
  const openHelp = () => help.current?.showModal();
  useEffect(() => {
    document.title = `${t('list.title')} – ${t('app.name')}`;
  });
  useEffect(() => {
    if (uids.length > 0) void state.load();
    const unlisten = listenToKeys({
      actions,
      imageCount: () => stage.stack.value.images.length,
      presets: () => presetsOf(state.chosen.value?.modality ?? ''),
      series: (step) => chooseNeighbour(state, step),
      help: openHelp,
    });
    const unwatch = state.watch();
    return () => {
      unlisten();
      actions.stop();
      unwatch();
    };
  }, [state]);
  return (
    <div class="page study">
      <TrialBanner />
      <header class="study-head">
        <a class="back" href="/" onClick={(event) => followLink(event, '/')} data-testid="back">
          <span aria-hidden="true">{'←'}</span> <span class="words">{t('study.back')}</span>
        </a>
        <PatientBanner state={state} />
        <LanguageSwitch />
      </header>
      <Body state={state} hasStudies={uids.length > 0}>
        <SeriesRail state={state} />
        <main class="reading">
          <Toolbar stage={stage} actions={actions} presets={presetsOf(state.chosen.value?.modality ?? '')} help={openHelp} />
          <div class="stage">
            <StackViewport stage={stage} actions={actions} />
            <SeriesFailure state={state} />
          </div>
        </main>
      </Body>
      <HelpDialog dialog={help} />
    </div>
  );
}

/** The stage as the display of a series; a film that plays stops at its end. */
function displayOn(stage: Stage, actions: Actions): Display {
  const open = (stack: Stack | undefined) => {
    actions.stop();
    stage.open(stack);
  };
  return { open, extend: stage.extend };
}

function chooseNeighbour(state: StudyState, step: number): void {
  const all = (state.studies.value ?? []).flatMap(({ series }) => series);
  const at = all.findIndex((series) => isSame(series, state.chosen.value));
  const next = all[at + step];
  if (next) void state.choose(next);
}

function Body({ state, hasStudies, children }: { state: StudyState; hasStudies: boolean; children: ComponentChildren }) {
  if (!hasStudies) return <p class="waiting">{t('study.none')}</p>;
  if (state.failure.value) return <Failure failure={state.failure.value} retry={() => void state.load()} />;
  const opened = state.studies.value;
  if (opened && opened.every(({ series }) => series.length === 0)) return <p class="waiting">{t('study.no-series')}</p>;
  return <div class="study-body">{children}</div>;
}

function SeriesFailure({ state }: { state: StudyState }) {
  const failure = state.seriesFailure.value;
  const series = state.chosen.value;
  if (!failure || !series) return null;
  return (
    <div class="covering">
      <Failure failure={failure} retry={() => void state.choose(series)} />
    </div>
  );
}
