import type { Study } from '../dicomweb/studies';
import { ageInYears, readableDate, readableTime } from '../format/date';
import { readableName } from '../format/person';
import { language, t } from '../i18n';
import { readableSex } from '../format/sex';
import { textRemarks } from '../ui/TextMarks';
import type { StudyState } from './state';

/** Whose images these are: always in sight, so that no image is read for another patient. */
export function PatientBanner({ state }: { state: StudyState }) {
  const series = state.chosen.value;
  const opened = state.studies.value;
  const open = opened?.find(({ study }) => study.studyInstanceUid === series?.studyInstanceUid) ?? opened?.[0];
  if (!open) return <div class="patient-banner" />;
  const remarks = textRemarks(state.texts.value.get(open.study.studyInstanceUid) ?? []);
  return <Banner study={open.study} remarks={remarks} />;
}

function Banner({ study, remarks }: { study: Study; remarks: string[] }) {
  const age = ageInYears(study.patientBirthDate, study.studyDate);
  const person = [
    study.patientId,
    readableSex(study.patientSex),
    readableDate(study.patientBirthDate, language.value),
    age === undefined ? '' : t('study.years', { n: age }),
  ];
  const examination = [
    `${readableDate(study.studyDate, language.value)} ${readableTime(study.studyTime)}`.trim(),
    study.studyDescription,
    study.accessionNumber,
  ];
  return (
    <div class="patient-banner" data-testid="patient-banner">
      <h1>{readableName(study.patientName) || t('list.unnamed')}</h1>
      <Facts facts={person} />
      <Facts facts={examination} />
      {remarks.length > 0 && (
        <p class="facts text-remarks" data-testid="text-remarks">
          {remarks.map((remark) => (
            <span key={remark}>{remark}</span>
          ))}
        </p>
      )}
    </div>
  );
}

function Facts({ facts }: { facts: string[] }) {
  return (
    <p class="facts">
      {facts
        .filter((fact) => fact !== '')
        .map((fact) => (
          <span key={fact}>{fact}</span>
        ))}
    </p>
  );
}
