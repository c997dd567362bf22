/** The data set of an instance as Cornerstone can draw it. */

import { TAG, number, text, type JsonAttribute, type JsonDataSet } from '../dicomweb/attributes';
import { bulkData } from '../dicomweb/bulk';
import type { Instance } from '../dicomweb/series';

const PALETTES = [TAG.redPaletteData, TAG.greenPaletteData, TAG.bluePaletteData] as const;

/** Mends what would draw a wrong or an empty image; everything else stays as it was received. */
export async function drawable({ dataSet }: Instance): Promise<JsonDataSet> {
  const mended = withoutVoidWindow(dataSet);
  if (text(dataSet, TAG.photometricInterpretation) !== 'PALETTE COLOR') return mended;
  const palettes: JsonDataSet = {};
  for (const tag of PALETTES) {
    const attribute = dataSet[tag];
    if (attribute) palettes[tag] = await inline(attribute);
  }
  return { ...mended, ...palettes };
}

/** Some devices send a window of width 0, which PS3.3 §C.11.2.1.2 does not allow; all values are shown then. */
function withoutVoidWindow(dataSet: JsonDataSet): JsonDataSet {
  const width = number(dataSet, TAG.windowWidth);
  if (width === undefined || width > 0) return dataSet;
  const { [TAG.windowWidth]: _width, [TAG.windowCenter]: _center, ...rest } = dataSet;
  return rest;
}

/** A palette that the server keeps aside, brought in (PS3.18 §F.2.6, §F.2.7). */
async function inline(attribute: JsonAttribute): Promise<JsonAttribute> {
  if (!attribute.BulkDataURI) return attribute;
  const bytes = await bulkData(attribute.BulkDataURI);
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return { vr: attribute.vr, InlineBinary: btoa(binary) };
}
