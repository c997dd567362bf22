"""Rendered frames beside an independent rendering: rendering.py SERVER FILE…

SERVER is the address of DICOMweb. Stores each file, asks for its first, middle and last frame as PNG, and compares
them with what pydicom and numpy make of the file by PS3.3 §C.11. Prints one JSON object:
  {"compared": number of frames, "skipped": {file: why}, "faults": {file: what}}

Skipped are files without pixels, and those that pydicom cannot read, write or decode itself. Whatever else goes wrong is
a fault, or ends the comparison.
"""

import io
import json
import pathlib
import sys
import warnings

import numpy
import requests
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, pixel_array
from pydicom.uid import generate_uid

# How far a grey and a colour may be off: rounding, and decoders of JPEG that round otherwise.
GREY, COLOUR = 1, 3


class Skipped(Exception):
    """There is nothing to compare with."""


def group(ds, frame, sequence, keyword):
    """The item of a functional group that holds an attribute, or the data set."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or []
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    for groups in [*per_frame[frame : frame + 1], *shared[:1]]:
        items = groups.get(sequence) or []
        if items and keyword in items[0]:
            return items[0]
    return ds


def first(value):
    return float(value[0] if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else value)


def windowed(values, holder):
    """PS3.3 §C.11.2.1.2, §C.11.2.1.3, as shares of white."""
    center, width = first(holder.WindowCenter), first(holder.WindowWidth)
    function = holder.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        return 1 / (1 + numpy.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT" or width < 1:
        return numpy.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return (values > center - 0.5).astype(float)
    return numpy.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def padding(ds, stored):
    if "PixelPaddingValue" not in ds:
        return numpy.zeros(stored.shape, bool)
    values = 1 << ds.BitsAllocated
    lowest = -values // 2 if ds.PixelRepresentation else 0
    ends = [int(ds.PixelPaddingValue), int(ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue))]
    low, high = sorted((end - lowest) % values + lowest for end in ends)
    return (stored >= low) & (stored <= high)


def grey(ds, frame, stored):
    pads = padding(ds, stored)
    rescale = group(ds, frame, "PixelValueTransformationSequence", "RescaleSlope")
    if "ModalityLUTSequence" in ds:
        values = apply_modality_lut(stored, ds).astype(float)
    else:
        slope = float(rescale.get("RescaleSlope") or 1) or 1.0
        values = stored.astype(float) * slope + float(rescale.get("RescaleIntercept") or 0)
    holder = group(ds, frame, "FrameVOILUTSequence", "WindowCenter")
    tables = group(ds, frame, "FrameVOILUTSequence", "VOILUTSequence")
    is_shade = ds.BitsStored <= 8 and numpy.array_equal(values, stored) and "PixelData" in ds
    if holder.get("WindowCenter") is not None and holder.get("WindowWidth") is not None and first(holder.WindowWidth) > 0:
        shares = windowed(values, holder)
    elif tables.get("VOILUTSequence"):
        item = tables.VOILUTSequence[0]
        table = apply_voi(values.astype(int), tables, index=0).astype(float)
        shares = table / ((1 << int(item.LUTDescriptor[2])) - 1)
    elif is_shade:
        lowest = -(1 << (ds.BitsStored - 1)) if ds.PixelRepresentation else 0
        shares = (values - lowest) / ((1 << ds.BitsStored) - 1)
    else:
        seen = values[~pads]
        if seen.size == 0:
            raise Skipped("nothing but padding")
        low, high = seen.min(), seen.max()
        shares = (values - low) / (high - low) if high > low else numpy.full(values.shape, 0.5)
        if high == low:
            raise Skipped("one value")
    if ds.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    shades = numpy.floor(shares * 255 + 0.5)
    shades[pads] = 0
    return shades


def overlaid(ds, frame, picture):
    """White where the graphics of the image itself are (PS3.3 §C.9.2)."""
    for number in range(0x6000, 0x6020, 2):
        if (number, 0x3000) not in ds or ds[number, 0x0040].value != "G":
            continue
        bits = ds.overlay_array(number).astype(bool)
        if bits.ndim == 3:
            at = frame + 1 - (ds[number, 0x0051].value if (number, 0x0051) in ds else 1)
            if not 0 <= at < len(bits):
                continue
            bits = bits[at]
        top, left = (int(place) - 1 for place in ds[number, 0x0050].value)
        rows, columns = numpy.nonzero(bits)
        rows, columns = rows + top, columns + left
        inside = (rows >= 0) & (rows < ds.Rows) & (columns >= 0) & (columns < ds.Columns)
        picture = picture.copy()
        picture[rows[inside], columns[inside]] = 255
    return picture


def expected(path, ds, frame):
    samples = pixel_array(ds, index=frame, raw=False) if "PixelData" in ds else floats(ds, frame)
    if ds.get("SamplesPerPixel", 1) == 1 and ds.PhotometricInterpretation != "PALETTE COLOR":
        return grey(ds, frame, samples)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        # Tables of 8 bits that say 16 are read as they are.
        colours = apply_color_lut(samples, ds)
        return colours >> 8 if colours.dtype == numpy.uint16 and colours.max() > 255 else colours
    if samples.dtype.itemsize > 1:
        samples = samples >> (ds.BitsStored - 8)
    if "PARTIAL" in ds.PhotometricInterpretation:
        raise Skipped("YBR_PARTIAL")
    return samples


def floats(ds, frame):
    for keyword, kind in (("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")):
        if keyword in ds:
            return numpy.frombuffer(ds[keyword].value, kind).reshape(-1, ds.Rows, ds.Columns)[frame]
    raise Skipped("no pixels")


def fault(server, session, path, ds, frame):
    try:
        wanted = overlaid(ds, frame, expected(path, ds, frame).astype(float))
    except Skipped:
        raise
    except Exception as error:  # noqa: BLE001 (what pydicom cannot decode is no judge)
        raise Skipped(f"pydicom: {error}") from error
    url = f"{server}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    answer = session.get(f"{url}/frames/{frame + 1}/rendered", headers={"Accept": "image/png"}, timeout=60)
    if answer.status_code != 200:
        return f"frame {frame + 1}: {answer.status_code} {answer.text[:200]}"
    picture = Image.open(io.BytesIO(answer.content))
    found = numpy.asarray(picture.convert("RGB" if wanted.ndim == 3 else "L")).astype(float)
    if found.shape != wanted.shape:
        return f"frame {frame + 1}: {found.shape} instead of {wanted.shape}"
    off = numpy.abs(found - wanted).max()
    limit = COLOUR if wanted.ndim == 3 else GREY
    return f"frame {frame + 1}: off by {off}" if off > limit else None


def instance(path):
    """The data set under UIDs of its own, and its file: several of pydicom's files are the same instance in other forms."""
    try:
        ds = dcmread(path)
        if "Rows" not in ds or "PhotometricInterpretation" not in ds:
            raise Skipped("no image")
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
        body = io.BytesIO()
        ds.save_as(body)
        count = int(ds.get("NumberOfFrames") or 1)
    except Skipped:
        raise
    except Exception as error:  # noqa: BLE001 (whatever pydicom cannot read is damaged)
        raise Skipped(f"pydicom: {error}") from error
    return ds, body.getvalue(), sorted({0, count // 2, count - 1})


def compare(server, paths):
    told = {"compared": 0, "skipped": {}, "faults": {}}
    session = requests.Session()
    for path in paths:
        name = pathlib.Path(path).name
        try:
            ds, file, frames = instance(path)
            head = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
            answer = session.post(f"{server}/studies", data=file, headers=head, timeout=60)
            if answer.status_code != 200:
                told["faults"][name] = f"stored with {answer.status_code} {answer.text[:200]}"
                continue
            for frame in frames:
                what = fault(server, session, path, ds, frame)
                told["compared"] += 1
                if what:
                    told["faults"][name] = what
        except Skipped as why:
            told["skipped"][name] = str(why)
    return told


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    server, *paths = sys.argv[1:]
    print(json.dumps(compare(server, paths)))
