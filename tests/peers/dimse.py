"""A DIMSE peer made of pynetdicom: dimse.py HOST PORT VERB ARGUMENT…

Prints one JSON value:
  echo                        the status
  store FILE…                 {file name: status}
  find MODEL LEVEL KEY=VALUE… [[status, response in the DICOM JSON Model or null], …]
  get MODEL STUDY FOLDER SYNTAX…   {"final": {…counts…}, "received": [SOP Instance UIDs]}; every context in these
                              transfer syntaxes, in those of pynetdicom without
  pixels MODEL STUDY SYNTAX   {"final": …, "pixels": {SOP Instance UID: SHA-256 of the decoded samples}}; takes
                              instances in that transfer syntax alone
  unpacked FILE…              {file name: {"differs": the largest difference of a sample, "photometric": …, "lossy": [of
                              what came, of the file]}} of files that lie there, taken in Explicit VR Little Endian alone
  move MODEL STUDY AET PORT   {"final": …, "received": …} of a C-MOVE; receives as AET on PORT itself
  retrieve JSON               a C-MOVE or C-GET with a destination that does what it is told, and what both sides saw;
                              JSON has how, level, keys, title and port, and may have priority, delay, answer,
                              answer_once, drop_after, without and cancel_after
  ask TRANSACTION CLASS=INSTANCE…           the status of a request for storage commitment, released at once
  commit stay|leave PORT TRANSACTION CLASS=INSTANCE…   {"status": …, "report": {…}}: waits for the report on
                              the association of the request, or on a new one at PORT
  commits JSON                an archive that stores, and commits itself to what it stored; JSON has port and reports (after
                              which it ends), and may have where (same or new: the association of the reports), lose
                              (instances that are not committed to the first time), silent (requests that are never
                              reported on) and after (a file that has to be there before it reports); what came, and
                              what its reports were answered with
  report PORT                 the report that comes to PORT
  notified PORT               the instance availability notification that comes to PORT:
                              {"study": …, "steps": [SOP Instance UID of performed procedure steps],
                              "instances": {SOP Instance UID: [availability, retrieve AE title]}}
  echo-tls CA CERTIFICATE KEY VERSION CIPHER   {"status", "version", "cipher"} of an echo within TLS, or {"error"};
                              - for no certificate, VERSION as 1.3, an empty CIPHER for any
  storage-classes             [[UID, name], …]: the storage SOP classes of pydicom's dictionary
  serial-tls CA CERTIFICATE KEY   the serial number of the certificate that the server shows

MODEL is study or patient. A file that is received goes to FOLDER/SOPInstanceUID.dcm, as it came.
"""

import hashlib
import json
import pathlib
import queue
import socket
import ssl
import sys
import tempfile
import threading
import time

from pydicom import dcmread
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, StoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

FIND = {"study": StudyRootQueryRetrieveInformationModelFind, "patient": PatientRootQueryRetrieveInformationModelFind}
GET = {"study": StudyRootQueryRetrieveInformationModelGet, "patient": PatientRootQueryRetrieveInformationModelGet}
MOVE = {"study": StudyRootQueryRetrieveInformationModelMove, "patient": PatientRootQueryRetrieveInformationModelMove}
# An association holds at most 128 contexts; the first of the list are the commonest classes.
MOST_CONTEXTS = 120


def entity(title="PYNETDICOM"):
    ae = AE(ae_title=title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    return ae


def associate(ae, host, port, **options):
    association = ae.associate(host, port, ae_title="FILMLESS", **options)
    if not association.is_established:
        sys.exit("no association: rejected, aborted or no connection")
    return association


def status_of(response):
    """The status as a number; null when the peer sent none before it ended the association."""
    return response.Status if "Status" in response else None


def counts(response):
    names = ("Remaining", "Completed", "Failed", "Warning")
    values = {name.lower(): response.get(f"NumberOf{name}Suboperations") for name in names}
    return {"status": status_of(response), **values}


def echo(host, port):
    ae = entity()
    ae.add_requested_context(Verification)
    association = associate(ae, host, port)
    response = association.send_c_echo()
    association.release()
    return status_of(response)


def store(host, port, *files):
    ae = entity()
    data_sets = [(path, dcmread(path)) for path in files]
    wanted = {(ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.TransferSyntaxUID) for _, ds in data_sets}
    for sop_class, transfer_syntax in sorted(wanted):
        ae.add_requested_context(sop_class, transfer_syntax)
    association = associate(ae, host, port)
    answers = {pathlib.Path(path).name: status_of(association.send_c_store(ds)) for path, ds in data_sets}
    association.release()
    return answers


def find(host, port, model, level, *keys):
    identifier = Dataset()
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.QueryRetrieveLevel = level
    for key in keys:
        name, _, value = key.partition("=")
        setattr(identifier, name, value)
    ae = entity()
    ae.add_requested_context(FIND[model])
    association = associate(ae, host, port)
    answers = [
        [status_of(status), found.to_json_dict() if found is not None else None]
        for status, found in association.send_c_find(identifier, FIND[model])
    ]
    association.release()
    return answers


def keeper(folder, received):
    """Stores what arrives exactly as it came and says so."""

    def handle(event):
        instance = str(event.request.AffectedSOPInstanceUID)
        received.append(instance)
        pathlib.Path(folder, f"{instance}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    return [(evt.EVT_C_STORE, handle)]


def study_identifier(study):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study
    return identifier


def get(host, port, model, study, folder, *syntaxes):
    ae = entity()
    ae.add_requested_context(GET[model])
    roles = []
    for context in StoragePresentationContexts[:MOST_CONTEXTS]:
        ae.add_requested_context(context.abstract_syntax, list(syntaxes) or DEFAULT_TRANSFER_SYNTAXES)
        roles.append(build_role(context.abstract_syntax, scp_role=True))
    received = []
    association = associate(ae, host, port, ext_neg=roles, evt_handlers=keeper(folder, received))
    responses = [counts(status) for status, _ in association.send_c_get(study_identifier(study), GET[model])]
    association.release()
    return {"final": responses[-1], "pending": responses[:-1], "received": received}


def pixels(host, port, model, study, syntax):
    ae = entity()
    ae.add_requested_context(GET[model])
    roles = []
    for context in StoragePresentationContexts[:MOST_CONTEXTS]:
        ae.add_requested_context(context.abstract_syntax, syntax)
        roles.append(build_role(context.abstract_syntax, scp_role=True))
    found = {}

    def handle(event):
        data_set = event.dataset
        data_set.file_meta = event.file_meta
        assert data_set.file_meta.TransferSyntaxUID == syntax
        samples = data_set.pixel_array
        digest = hashlib.sha256(str(samples.shape).encode() + samples.astype("<i4").tobytes()).hexdigest()
        found[str(event.request.AffectedSOPInstanceUID)] = digest
        return 0x0000

    association = associate(ae, host, port, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, handle)])
    responses = [counts(status) for status, _ in association.send_c_get(study_identifier(study), GET[model])]
    association.release()
    return {"final": responses[-1], "pixels": found}


def unpacked(host, port, *files):
    sources = {}
    for file in files:
        source = dcmread(file)
        sources[source.SOPInstanceUID] = (pathlib.Path(file).name, source)
    ae = entity()
    ae.add_requested_context(GET["study"])
    roles = []
    for context in StoragePresentationContexts[:MOST_CONTEXTS]:
        ae.add_requested_context(context.abstract_syntax, ExplicitVRLittleEndian)
        roles.append(build_role(context.abstract_syntax, scp_role=True))
    found = {}

    def handle(event):
        received = event.dataset
        received.file_meta = event.file_meta
        name, source = sources[received.SOPInstanceUID]
        ours, theirs = received.pixel_array.astype("i8"), source.pixel_array.astype("i8")
        found[name] = {
            "differs": int(abs(ours - theirs).max()) if ours.shape == theirs.shape else "in shape",
            "photometric": received.PhotometricInterpretation,
            "lossy": [received.get("LossyImageCompression"), source.get("LossyImageCompression")],
        }
        return 0x0000

    association = associate(ae, host, port, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, handle)])
    for study in {source.StudyInstanceUID for _, source in sources.values()}:
        list(association.send_c_get(study_identifier(study), GET["study"]))
    association.release()
    return found


def move(host, port, model, study, title, own_port):
    receiver = entity(title)
    receiver.supported_contexts = StoragePresentationContexts[:MOST_CONTEXTS]
    received = []
    with tempfile.TemporaryDirectory() as folder:
        server = receiver.start_server(("127.0.0.1", int(own_port)), block=False, evt_handlers=keeper(folder, received))
        try:
            ae = entity(title)
            ae.add_requested_context(MOVE[model])
            association = associate(ae, host, port)
            answers = association.send_c_move(study_identifier(study), title, MOVE[model])
            responses = [counts(status) for status, _ in answers]
            association.release()
        finally:
            server.shutdown()
    return {"final": responses[-1], "pending": responses[:-1], "received": received}


def reports_to(came, own, refused=()):
    """Puts each report of storage commitment into a queue and takes it; before, it refuses some with these statuses."""
    refusals = iter(refused)

    def handle(event):
        refusal = next(refusals, None)
        if refusal is not None:
            return refusal, None
        information = event.event_information
        failed = information.get("FailedSOPSequence") or []
        came.put({
            "event": event.event_type,
            "transaction": information.TransactionUID,
            "retrieve": information.get("RetrieveAETitle"),
            "kept": [item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence") or []],
            "failed": {item.ReferencedSOPInstanceUID: item.FailureReason for item in failed},
            "on_own_association": own,
        })
        return 0x0000, None

    return [(evt.EVT_N_EVENT_REPORT, handle)]


def listen(own_port, came, refused=()):
    receiver = entity()
    receiver.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    return receiver.start_server(("127.0.0.1", int(own_port)), block=False, evt_handlers=reports_to(came, False, refused))


def request_commitment(host, port, transaction, references, came):
    """Gives the association, still open, and the status."""
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID, _, item.ReferencedSOPInstanceUID = reference.partition("=")
        information.ReferencedSOPSequence.append(item)
    ae = entity()
    ae.add_requested_context(StorageCommitmentPushModel)
    association = associate(ae, host, port, evt_handlers=reports_to(came, True))
    well_known = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    status, _ = association.send_n_action(information, 1, *well_known)
    return association, status_of(status)


def ask(host, port, transaction, *references):
    association, status = request_commitment(host, port, transaction, references, queue.Queue())
    association.release()
    return status


def commit(host, port, mode, own_port, transaction, *references):
    came = queue.Queue()
    # Processing failure, and no such operation: the report is sent again all the same.
    server = listen(own_port, came, [0x0110, 0x0211] if mode == "refuse" else [])
    try:
        association, status = request_commitment(host, port, transaction, references, came)
        if mode in ("leave", "refuse"):
            association.release()
        found = came.get(timeout=60) if status == 0x0000 else None
        if mode == "stay":
            association.release()
    finally:
        server.shutdown()
    return {"status": status, "report": found}


def report(_host, _port, own_port):
    came = queue.Queue()
    server = listen(own_port, came)
    try:
        return came.get(timeout=90)
    finally:
        server.shutdown()


def commits(host, port, wishes):
    wishes = json.loads(wishes)
    well_known = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    stored, asked, answers = [], [], queue.Queue()

    def on_store(event):
        stored.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    def on_action(event):
        information = event.action_information
        asked.append({
            "transaction": information.TransactionUID,
            "instances": [item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence],
        })
        if len(asked) not in wishes.get("silent", []):
            threading.Thread(target=answer, args=(event.assoc, information, len(asked))).start()
        return 0x0000, None

    def answer(association, information, number):
        references = list(information.ReferencedSOPSequence)
        lost = references[:wishes.get("lose", 0)] if number == 1 else []
        event = Dataset()
        event.TransactionUID = information.TransactionUID
        event.ReferencedSOPSequence = references[len(lost):]
        for item in lost:
            item.FailureReason = 0x0112
        if lost:
            event.FailedSOPSequence = lost
        # The answer to the request goes first.
        time.sleep(0.5)
        while "after" in wishes and not pathlib.Path(wishes["after"]).exists():
            time.sleep(0.05)
        if wishes.get("where") == "new":
            ae = entity()
            ae.add_requested_context(StorageCommitmentPushModel)
            role = build_role(StorageCommitmentPushModel, scp_role=True)
            association = associate(ae, host, port, ext_neg=[role])
        status, _ = association.send_n_event_report(event, 2 if lost else 1, *well_known)
        if wishes.get("where") == "new":
            association.release()
        answers.put(status_of(status))

    receiver = entity()
    receiver.supported_contexts = StoragePresentationContexts[:MOST_CONTEXTS]
    receiver.add_supported_context(StorageCommitmentPushModel)
    handlers = [(evt.EVT_C_STORE, on_store), (evt.EVT_N_ACTION, on_action)]
    server = receiver.start_server(("127.0.0.1", wishes["port"]), block=False, evt_handlers=handlers)
    try:
        answered = [answers.get(timeout=90) for _ in range(wishes["reports"])]
    finally:
        server.shutdown()
    return {"stored": stored, "asked": asked, "answers": answered}


def retrieve(host, port, wishes):
    """A C-MOVE or C-GET with a destination that does what it is told, and all that both sides saw."""
    wishes = json.loads(wishes)
    stored, taken = [], []

    def handle(event):
        request = event.request
        received = event.dataset
        stored.append({
            "name": str(received.get("PatientName", "")),
            "corrections": len(received.get("OriginalAttributesSequence") or []),
            "instance": request.AffectedSOPInstanceUID,
            "priority": request.Priority,
            "originator": request.MoveOriginatorApplicationEntityTitle and str(request.MoveOriginatorApplicationEntityTitle).strip(),
            "originator_message": request.MoveOriginatorMessageID,
        })
        time.sleep(wishes.get("delay", 0))
        number = len(stored) - 1
        if "drop_after" in wishes and number >= wishes["drop_after"]:
            event.assoc.abort()
            return 0xA700
        once = wishes.get("answer_once")
        return wishes.get("answer", 0x0000) if once is None or once == number else 0x0000

    handlers = [(evt.EVT_C_STORE, handle)]
    kept = [context for context in StoragePresentationContexts if context.abstract_syntax != wishes.get("without")]
    identifier = Dataset()
    identifier.QueryRetrieveLevel = wishes["level"]
    for key, value in wishes["keys"].items():
        setattr(identifier, key, value.split("\\") if "\\" in value else value)
    server = None
    ae = entity()
    if wishes["how"] == "move":
        receiver = entity(wishes["title"])
        receiver.supported_contexts = kept[:MOST_CONTEXTS]
        if wishes["port"]:
            server = receiver.start_server(("127.0.0.1", wishes["port"]), block=False, evt_handlers=handlers)
        model = MOVE["study"]
        ae.add_requested_context(model)
        association = associate(ae, host, port)
        answers = association.send_c_move(identifier, wishes["title"], model, priority=wishes.get("priority", 0))
    else:
        model = GET["study"]
        ae.add_requested_context(model)
        roles = []
        for context in kept[:MOST_CONTEXTS]:
            ae.add_requested_context(context.abstract_syntax)
            roles.append(build_role(context.abstract_syntax, scp_role=True))
        association = associate(ae, host, port, ext_neg=roles, evt_handlers=handlers)
        answers = association.send_c_get(identifier, model, priority=wishes.get("priority", 0))
    failed = None
    for status, data in answers:
        taken.append(counts(status))
        if taken[-1]["status"] in (0xFF00, 0xFF01):
            if len(taken) == wishes.get("cancel_after"):
                association.send_c_cancel(1, None, model)
        elif data is not None and "FailedSOPInstanceUIDList" in data:
            found = data.FailedSOPInstanceUIDList
            failed = [found] if isinstance(found, str) else list(found)
    association.release()
    if server:
        server.shutdown()
    return {"final": taken[-1], "pending": taken[:-1], "stored": stored, "failed_list": failed}


def notified(_host, _port, own_port):
    came = queue.Queue()

    def handle(event):
        told = event.attribute_list
        items = [item for series in told.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
        came.put({
            "study": told.StudyInstanceUID,
            "steps": [item.ReferencedSOPInstanceUID for item in told.ReferencedPerformedProcedureStepSequence],
            "instances": {
                item.ReferencedSOPInstanceUID: [item.InstanceAvailability, item.RetrieveAETitle] for item in items
            },
        })
        return 0x0000, told

    receiver = entity()
    receiver.add_supported_context(InstanceAvailabilityNotification)
    handlers = [(evt.EVT_N_CREATE, handle)]
    server = receiver.start_server(("127.0.0.1", int(own_port)), block=False, evt_handlers=handlers)
    try:
        return came.get(timeout=90)
    finally:
        server.shutdown()
def client_context(ca, certificate, key):
    context = ssl.create_default_context(cafile=ca)
    if certificate != "-":
        context.load_cert_chain(certificate, key)
    return context


def echo_tls(host, port, ca, certificate, key, version, cipher):
    context = client_context(ca, certificate, key)
    # As old peers are: what is refused shall be refused by the server.
    context.set_ciphers(f"{cipher or 'ALL'}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, f"TLSv{version.replace('.', '_').replace('_0', '')}")
    try:
        with socket.create_connection((host, port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname=host) as stream:
                found = {"version": stream.version(), "cipher": stream.cipher()[0]}
    except (ssl.SSLError, OSError) as error:
        return {"error": str(error)}
    ae = entity()
    ae.add_requested_context(Verification)
    association = ae.associate(host, port, ae_title="FILMLESS", tls_args=(context, host))
    if not association.is_established:
        return {"error": "no association"}
    response = association.send_c_echo()
    association.release()
    return {"status": status_of(response), **found}


def serial_tls(host, port, ca, certificate, key):
    context = client_context(ca, certificate, key)
    with socket.create_connection((host, port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=host) as stream:
            return stream.getpeercert()["serialNumber"]


def storage_classes(_host, _port):
    """Those that PS3.6 registers below the Storage Service Class but for queries and retrieves, and RT delivery
    instructions (PS3.4 B.5)."""
    roots = ("1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.5.1.4.34.1", "1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.34.10")
    others = (" - FIND", " - MOVE", " - GET", "Inventory Creation", "Repository Query")
    found = [
        [uid, name]
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and (uid.startswith(roots[0]) or uid in roots) and not name.endswith(others)
    ]
    return sorted(found, key=lambda entry: [int(part) for part in entry[0].split(".")])


if __name__ == "__main__":
    verbs = {"echo": echo, "store": store, "find": find, "get": get, "move": move}
    verbs |= {"pixels": pixels, "ask": ask, "commit": commit, "report": report, "notified": notified, "retrieve": retrieve, "commits": commits, "unpacked": unpacked}
    verbs |= {"echo-tls": echo_tls, "serial-tls": serial_tls, "storage-classes": storage_classes}
    peer, peer_port, verb, *rest = sys.argv[1:]
    print(json.dumps(verbs[verb](peer, int(peer_port), *rest)))
