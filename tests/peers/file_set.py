"""A File-set as pydicom reads it: file_set.py DICOMDIR

Prints a JSON array with one object an instance, in the order of the directory: its UIDs, patient's name, type of its
record, the file, and whether that is the instance that the record names.
"""

import json
import os
import sys

from pydicom import dcmread
from pydicom.fileset import FileSet

found = []
for instance in FileSet(sys.argv[1]):
    file = dcmread(instance.path)
    found.append({
        "study": instance.StudyInstanceUID,
        "series": instance.SeriesInstanceUID,
        "instance": instance.ReferencedSOPInstanceUIDInFile,
        "patient": str(instance.PatientName),
        "kind": instance.node.record_type,
        "file": os.path.relpath(instance.path, os.path.dirname(sys.argv[1])),
        "same": (file.SOPInstanceUID, file.SOPClassUID, file.file_meta.TransferSyntaxUID)
        == (
            instance.ReferencedSOPInstanceUIDInFile,
            instance.ReferencedSOPClassUIDInFile,
            instance.ReferencedTransferSyntaxUIDInFile,
        ),
    })
print(json.dumps(found))
