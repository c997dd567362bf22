import { useRef } from 'preact/hooks';
import type { Study } from '../dicomweb/studies';
import { readableDate, readableTime } from '../format/date';
import { readableName } from '../format/person';
import { readableSex } from '../format/sex';
import { language, t, type Key } from '../i18n';
import { TextMark } from '../ui/TextMarks';
import { followLink, go, studyAddress } from '../ui/address';
import { active, texts } from './list';

const COLUMNS: { name: string; title: Key }[] = [
  { name: 'patient', title: 'list.patient' },
  { name: 'id', title: 'list.id' },
  { name: 'birth', title: 'list.birth' },
  { name: 'when', title: 'list.when' },
  { name: 'modality', title: 'list.modalities' },
  { name: 'description', title: 'list.description' },
  { name: 'images', title: 'list.images' },
  { name: 'accession', title: 'list.accession' },
];

/** The studies as a table; on a narrow screen each row is laid out as a card by the style sheet. */
export function StudyTable({ rows }: { rows: Study[] }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const onKeyDown = (event: KeyboardEvent) => {
    const target = keyTarget(event.key, active.value, rows.length);
    if (target === undefined) return;
    event.preventDefault();
    active.value = target;
    body.current?.querySelectorAll<HTMLElement>('tr')[target]?.focus();
  };
  const current = Math.min(active.value, rows.length - 1);
  return (
    <table class="studies" data-testid="studies">
      <thead>
        <tr>
          {COLUMNS.map(({ name, title }) => (
            <th key={name} scope="col" class={name}>
              {t(title)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={body} onKeyDown={onKeyDown}>
        {rows.map((study, index) => (
          <StudyRow key={study.studyInstanceUid} study={study} index={index} isCurrent={index === current} />
        ))}
      </tbody>
    </table>
  );
}

/** Row that a key goes to; undefined for any other key. */
export function keyTarget(key: string, from: number, count: number): number | undefined {
  const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -count, End: count };
  const step = steps[key];
  return step === undefined ? undefined : Math.max(0, Math.min(count - 1, from + step));
}

function StudyRow({ study, index, isCurrent }: { study: Study; index: number; isCurrent: boolean }) {
  const to = studyAddress(study.studyInstanceUid);
  const name = readableName(study.patientName) || t('list.unnamed');
  return (
    <tr
      tabIndex={isCurrent ? 0 : -1}
      data-testid="study-row"
      data-study={study.studyInstanceUid}
      onFocus={() => (active.value = index)}
      onClick={(event) => followLink(event, to)}
      onKeyDown={(event) => event.key === 'Enter' && go(to)}
    >
      <td class="patient">
        <a href={to} tabIndex={-1}>
          {name}
        </a>
        <TextMark readings={texts.value.get(study.studyInstanceUid)} />
      </td>
      <td class="id">{study.patientId}</td>
      <td class="birth">
        <Birth study={study} />
      </td>
      <td class="when">
        {readableDate(study.studyDate, language.value)} <span class="faint">{readableTime(study.studyTime)}</span>
      </td>
      <td class="modality">
        {study.modalities.map((code) => (
          <span key={code} class="tag">
            {code}
          </span>
        ))}
      </td>
      <td class="description">{study.studyDescription}</td>
      <td class="images">{[study.seriesCount, study.instanceCount].map((count) => count ?? '–').join(' / ')}</td>
      <td class="accession">{study.accessionNumber}</td>
    </tr>
  );
}

function Birth({ study }: { study: Study }) {
  return (
    <>
      {readableDate(study.patientBirthDate, language.value)} <span class="faint">{readableSex(study.patientSex)}</span>
    </>
  );
}
