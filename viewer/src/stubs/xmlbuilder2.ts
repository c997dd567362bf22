/** Stands in for xmlbuilder2: nothing here reads or writes VTK XML. */
function unavailable(): never {
  throw new Error('XML is not available in the viewer');
}

export const convert = unavailable;
export const create = unavailable;
export const builder = unavailable;
export const decodeXML = unavailable;
