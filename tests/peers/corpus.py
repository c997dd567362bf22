"""Real DICOM files and what a correct archive makes of them: corpus.py FOLDER|pydicom

Prints one JSON array with an object a file:
  file          its path
  whole         false for a damaged file, which an archive may refuse
  study, series, instance, sop_class, transfer_syntax
  stored        SHA-256 of each frame as it stands in the file, or null
  decoded       SHA-256 of each frame as native little endian samples, colour by pixel, where that is exact; or null

With `pydicom`, the files are those of pydicom's package, and pydicom says what is in them. A FOLDER holds a
MANIFEST.csv and an EXPECTED.json, made by other tools.
"""

import hashlib
import json
import pathlib
import re
import sys
import warnings

import pydicom.data
from pydicom import dcmread
from pydicom.encaps import generate_frames

UID = re.compile(r"[0-9.]{1,64}")
BIG_ENDIAN = "1.2.840.10008.1.2.2"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def native_frames(ds):
    """The frames of native Pixel Data; null where they are not of whole bytes, or fewer than are promised."""
    if ds.BitsAllocated % 8 or ds.PhotometricInterpretation == "YBR_FULL_422":
        return None
    count = int(ds.get("NumberOfFrames") or 1)
    size = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
    if len(ds.PixelData) not in (count * size, count * size + 1):
        return None
    return [sha256(ds.PixelData[at * size : (at + 1) * size]) for at in range(count)]


def by_pydicom(path):
    entry = {"file": str(path), "whole": False, "stored": None, "decoded": None}
    try:
        ds = dcmread(path)
        entry["transfer_syntax"] = str(ds.file_meta.TransferSyntaxUID)
        uids = [str(ds[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")]
        entry["study"], entry["series"], entry["instance"], entry["sop_class"] = uids
        for _ in ds.iterall():
            pass
        entry["whole"] = all(UID.fullmatch(uid) for uid in uids) and "truncated" not in path.name
        if "PixelData" in ds:
            entry["whole"] &= "Rows" in ds and "BitsAllocated" in ds
            if ds.file_meta.TransferSyntaxUID.is_encapsulated:
                frames = generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames") or 1))
                entry["stored"] = [sha256(frame) for frame in frames]
            elif entry["transfer_syntax"] != BIG_ENDIAN:
                entry["stored"] = entry["decoded"] = native_frames(ds)
                entry["whole"] &= entry["stored"] is not None or ds.BitsAllocated == 1 or ds.SamplesPerPixel == 3
                if ds.get("PlanarConfiguration") == 1:
                    entry["decoded"] = None
    except Exception:  # noqa: BLE001 (whatever pydicom cannot read is damaged)
        entry["whole"] = False
    return entry


def of_package():
    folder = pathlib.Path(pydicom.data.__file__).parent
    files = sorted(folder.glob("test_files/*.dcm")) + sorted(folder.glob("charset_files/*.dcm"))
    return [by_pydicom(path) for path in files]


def by_manifest(folder, expected):
    name = expected["file"]
    path = folder / name
    uids = [expected[key] for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")]
    whole = expected["parse"] == "strict" and not name.startswith(("malformed/", "dicomdir/"))
    decoded = expected.get("frames_decoded_sha256")
    # Frames of single bits are unpacked there, and decoders agree on lossless data only.
    if expected.get("lossy") is not False or expected["BitsAllocated"] == "1":
        decoded = None
    if expected["PhotometricInterpretation"] == "YBR_FULL_422":
        decoded = None
    stored = expected.get("frames_encapsulated_sha256")
    if "pixel_element_sha256" in expected and expected["TransferSyntaxUID"] != BIG_ENDIAN:
        # Native samples are given as they stand: planes apart, and with whatever lies above the bits stored.
        if expected["PlanarConfiguration"] == "1" or expected["BitsStored"] != expected["BitsAllocated"]:
            decoded = None
            if expected.get("number_of_frames_effective") == 1:
                stored = [expected["pixel_element_sha256"]]
    return {
        "file": str(path),
        "whole": whole and all(UID.fullmatch(uid) for uid in uids),
        "study": uids[0],
        "series": uids[1],
        "instance": uids[2],
        "sop_class": uids[3],
        "transfer_syntax": expected["TransferSyntaxUID"],
        "stored": stored,
        "decoded": decoded,
    }


def of_folder(folder):
    expected = json.loads((folder / "EXPECTED.json").read_text(encoding="utf-8"))
    return [by_manifest(folder, entry) for entry in expected["files"]]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    source = sys.argv[1]
    print(json.dumps(of_package() if source == "pydicom" else of_folder(pathlib.Path(source))))
