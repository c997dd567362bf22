"""A modality that tells of performed procedure steps, made of pynetdicom: steps.py HOST PORT OPERATION…

Each operation is a JSON object, done one after the other on one association. It has do (create, set, get), uid (null: left to
the server), and data, a data set by keywords; sequences are lists of such. get has attributes, a list of keywords, in its
place. Prints a list, for each operation: status, and where the response has them uid, error_id, comment, about (keywords), and
of get data (keyword: value; sequences are left out).
"""

import json
import sys

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityPerformedProcedureStepRetrieve


def data_set(fields):
    made = Dataset()
    for keyword, value in fields.items():
        is_sequence = isinstance(value, list)
        setattr(made, keyword, [data_set(item) for item in value] if is_sequence else value)
    return made


def about(command):
    tags = command.get("AttributeIdentifierList")
    if tags is None:
        return None
    return [keyword_for_tag(tag) for tag in (tags if hasattr(tags, "__iter__") else [tags])]


def told(command, data):
    answer = {
        "status": command.Status,
        "uid": command.get("AffectedSOPInstanceUID"),
        "error_id": command.get("ErrorID"),
        "comment": command.get("ErrorComment"),
        "about": about(command),
    }
    if data is not None:
        answer["data"] = {element.keyword: str(element.value) for element in data if element.VR != "SQ"}
    return {name: value for name, value in answer.items() if value is not None}


def work(host, port, *operations):
    ae = AE(ae_title="PYNETDICOM")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    ae.add_requested_context(ModalityPerformedProcedureStep)
    ae.add_requested_context(ModalityPerformedProcedureStepRetrieve)
    commands = []
    handlers = [(evt.EVT_DIMSE_RECV, lambda event: commands.append(event.message.command_set))]
    association = ae.associate(host, port, ae_title="FILMLESS", evt_handlers=handlers)
    if not association.is_established:
        sys.exit("no association: rejected, aborted or no connection")
    answers = []
    for operation in map(json.loads, operations):
        uid, data = operation["uid"], None
        if operation["do"] == "create":
            association.send_n_create(data_set(operation["data"]), ModalityPerformedProcedureStep, uid)
        elif operation["do"] == "set":
            association.send_n_set(data_set(operation["data"]), ModalityPerformedProcedureStep, uid)
        else:
            tags = [tag_for_keyword(keyword) for keyword in operation["attributes"]]
            _, data = association.send_n_get(tags, ModalityPerformedProcedureStepRetrieve, uid)
        answers.append(told(commands[-1], data))
    association.release()
    return answers


if __name__ == "__main__":
    peer, peer_port, *rest = sys.argv[1:]
    print(json.dumps(work(peer, int(peer_port), *rest)))
