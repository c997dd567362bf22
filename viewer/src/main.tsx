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

async function start(): Promise<void> {
  const root = document.getElementById('app');
  if (address.value.path === '/viewer') void loadStudyPage();
  await useInitialLanguage();
  if (root) render(<App />, root);
  await learnServerStatus();
}

void start();
