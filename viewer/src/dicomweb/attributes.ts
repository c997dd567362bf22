/** Data sets in the DICOM JSON Model (PS3.18 Annex F) and how to read one attribute of them. */

export interface JsonPersonName {
  Alphabetic?: string;
  Ideographic?: string;
  Phonetic?: string;
}

export type JsonValue = string | number | JsonPersonName | JsonDataSet | null;

export interface JsonAttribute {
  vr: string;
  Value?: JsonValue[];
  BulkDataURI?: string;
  InlineBinary?: string;
}

/** Attributes by their tag as eight hexadecimal digits in upper case. */
export interface JsonDataSet {
  [tag: string]: JsonAttribute;
}

export const TAG = {
  sopClassUid: '00080016',
  sopInstanceUid: '00080018',
  studyDate: '00080020',
  studyTime: '00080030',
  accessionNumber: '00080050',
  modality: '00080060',
  modalitiesInStudy: '00080061',
  studyDescription: '00081030',
  seriesDescription: '0008103E',
  patientName: '00100010',
  patientId: '00100020',
  patientBirthDate: '00100030',
  patientSex: '00100040',
  bodyPartExamined: '00180015',
  imagerPixelSpacing: '00181164',
  ultrasoundRegions: '00186011',
  regionMinX: '00186018',
  regionMinY: '0018601A',
  regionMaxX: '0018601C',
  regionMaxY: '0018601E',
  unitsX: '00186024',
  unitsY: '00186026',
  deltaX: '0018602C',
  deltaY: '0018602E',
  frameTime: '00181063',
  cineRate: '00180040',
  recommendedDisplayFrameRate: '00082144',
  studyInstanceUid: '0020000D',
  seriesInstanceUid: '0020000E',
  seriesNumber: '00200011',
  instanceNumber: '00200013',
  numberOfStudyRelatedSeries: '00201206',
  numberOfStudyRelatedInstances: '00201208',
  numberOfSeriesRelatedInstances: '00201209',
  samplesPerPixel: '00280002',
  photometricInterpretation: '00280004',
  numberOfFrames: '00280008',
  rows: '00280010',
  columns: '00280011',
  pixelSpacing: '00280030',
  calibrationType: '00280A02',
  bitsAllocated: '00280100',
  bitsStored: '00280101',
  highBit: '00280102',
  windowCenter: '00281050',
  windowWidth: '00281051',
  redDescriptor: '00281101',
  greenDescriptor: '00281102',
  blueDescriptor: '00281103',
  redPalette: '00281201',
  greenPalette: '00281202',
  bluePalette: '00281203',
  redSegments: '00281221',
  greenSegments: '00281222',
  blueSegments: '00281223',
  lossyImageCompression: '00282110',
  pixelMeasures: '00289110',
  sharedGroups: '52009229',
  perFrameGroups: '52009230',
  pixelData: '7FE00010',
  floatPixelData: '7FE00008',
  doubleFloatPixelData: '7FE00009',
} as const;

export type Tag = (typeof TAG)[keyof typeof TAG];

function first(dataSet: JsonDataSet, tag: Tag): JsonValue | undefined {
  return dataSet[tag]?.Value?.[0];
}

/** First value as text, trimmed; empty when absent. */
export function text(dataSet: JsonDataSet, tag: Tag): string {
  const value = first(dataSet, tag);
  return typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
}

export function texts(dataSet: JsonDataSet, tag: Tag): string[] {
  const values = dataSet[tag]?.Value ?? [];
  return values.filter((value): value is string => typeof value === 'string' && value.trim() !== '');
}

/** Items of a sequence. */
export function items(dataSet: JsonDataSet, tag: Tag): JsonDataSet[] {
  return (dataSet[tag]?.Value ?? []).filter((value): value is JsonDataSet => value !== null && typeof value === 'object');
}

/** All values that are numbers. */
export function numbers(dataSet: JsonDataSet, tag: Tag): number[] {
  return (dataSet[tag]?.Value ?? []).map(Number).filter(Number.isFinite);
}

/** First value as a number; IS and DS may come as strings (PS3.18 §F.2.3). */
export function number(dataSet: JsonDataSet, tag: Tag): number | undefined {
  const value = first(dataSet, tag);
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const parsed = typeof value === 'number' ? value : Number.parseFloat(value);
  return Number.isFinite(parsed) ? parsed : undefined;
}

export function personName(dataSet: JsonDataSet, tag: Tag): JsonPersonName {
  const value = first(dataSet, tag);
  if (typeof value === 'string') return { Alphabetic: value };
  return value !== null && typeof value === 'object' ? (value as JsonPersonName) : {};
}
