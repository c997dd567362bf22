"""A DICOMweb client made of dicomweb-client: web.py URL VERB ARGUMENT…

Prints one JSON value:
  store FILE…                                   the response in the DICOM JSON Model
  studies|series|instances KEY=VALUE…           what QIDO-RS found
  metadata STUDY [SERIES [INSTANCE]]            what WADO-RS says of it
  retrieve STUDY SERIES INSTANCE FILE           writes the instance; the number of its bytes
  frames STUDY SERIES INSTANCE NUMBER…          the SHA-256 of each frame, as stored
  bulkdata URI                                  the SHA-256 of the values there
  rendered STUDY SERIES INSTANCE FILE           writes the rendered image; its media type by its first bytes
"""

import hashlib
import json
import sys

from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread


def store(client, *files):
    return client.store_instances([dcmread(path) for path in files]).to_json_dict()


def search(kind):
    def verb(client, *keys):
        call = getattr(client, f"search_for_{kind}")
        filters = dict(key.split("=", 1) for key in keys)
        options = {name: filters.pop(name) for name in ("limit", "offset") if name in filters}
        return call(search_filters=filters, **{name: int(value) for name, value in options.items()})

    return verb


def metadata(client, study, series=None, instance=None):
    if instance:
        return client.retrieve_instance_metadata(study, series, instance)
    if series:
        return client.retrieve_series_metadata(study, series)
    return client.retrieve_study_metadata(study)


def retrieve(client, study, series, instance, file):
    # Any transfer syntax: as it is stored.
    found = client.retrieve_instance(study, series, instance, media_types=(("application/dicom", "*"),))
    found.save_as(file, enforce_file_format=False)
    return found.SOPInstanceUID


def frames(client, study, series, instance, *numbers):
    media_types = (("application/octet-stream", "*"),)
    wanted = [int(number) for number in numbers]
    found = client.retrieve_instance_frames(study, series, instance, wanted, media_types=media_types)
    return [hashlib.sha256(frame).hexdigest() for frame in found]


def bulkdata(client, uri):
    return [hashlib.sha256(value).hexdigest() for value in client.retrieve_bulkdata(uri)]


def rendered(client, study, series, instance, file):
    image = client.retrieve_instance_rendered(study, series, instance, media_types=("image/png",))
    with open(file, "wb") as out:
        out.write(image)
    return "image/png" if image.startswith(b"\x89PNG\r\n") else "image/jpeg" if image.startswith(b"\xff\xd8") else None


if __name__ == "__main__":
    verbs = {"store": store, "metadata": metadata, "retrieve": retrieve, "frames": frames, "bulkdata": bulkdata, "rendered": rendered}
    verbs |= {kind: search(kind) for kind in ("studies", "series", "instances")}
    url, verb, *rest = sys.argv[1:]
    print(json.dumps(verbs[verb](DICOMwebClient(url), *rest)))
