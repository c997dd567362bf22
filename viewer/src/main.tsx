/** Start-up: the page of the address, and going from one to the other without loading anew. */

import { render, type ComponentType } from 'preact';
import { signal } from '@preact/signals';
import { useInitialLanguage } from './i18n';
import { address } from './ui/address';
import { learnServerStatus } from './ui/TrialBanner';
import { WorklistPage } from './worklist/WorklistPage';
import './ui/base.css';

/** The study page comes when a study is opened; the list is there without it. */
const studyPage = signal<ComponentType<{ studies: string[] }> | undefined>(undefined);

/** The list is drawn and somebody reads it. */
const IDLE_MS = 1500;

async function loadStudyPage(): Promise<void> {
  const { StudyPage } = await import('./study/StudyPage');
  studyPage.value = StudyPage;
}

function App() {
  const { path, studies } = address.value;
  if (path !== '/viewer') return <WorklistPage />;
  const StudyPage = studyPage.value;
  if (!StudyPage) {
    void loadStudyPage();
    return null;
  }
  return <StudyPage key={studies.join()} studies={studies} />;
}

/** Brings what a study needs: at once where one is open, else when the list has nothing more to do. */
function prepareStudyPage(): void {
  void loadStudyPage();
  void import('./viewport/engine');
}

async function start(): Promise<void> {
  const root = document.getElementById('app');
  const isStudy = address.value.path === '/viewer';
  if (isStudy) prepareStudyPage();
  await useInitialLanguage();
  if (root) render(<App />, root);
  await learnServerStatus();
  if (!isStudy) setTimeout(prepareStudyPage, IDLE_MS);
}

void start();
