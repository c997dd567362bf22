"""A subscriber and a performer of workitems, made of requests and websockets: workitems.py URL [URL]

Subscribers connect to the second URL, another node of the same archive, where there is one.

Subscribes WATCH to the whole worklist and SOME to what a filter lets through, works a workitem through all its states,
and prints what each of them was told as one JSON object of lists: [event, workitem, state, progress].
"""

import json
import sys

import requests
from websockets.sync.client import connect

JSON = {"Accept": "application/dicom+json", "Content-Type": "application/dicom+json"}
LOCK = "2.25.601"


def text(vr, value):
    return {"vr": vr, "Value": [value]}


def scheduled(label):
    return [{
        "00404005": text("DT", "20260301101500"), "00404041": text("CS", "READY"), "00741000": text("CS", "SCHEDULED"),
        "00741200": text("CS", "MEDIUM"), "00741204": text("LO", label),
    }]


def code(value):
    return {"vr": "SQ", "Value": [{"00080100": text("SH", value), "00080102": text("SH", "DCM")}]}


PERFORMED = [{"00741216": {"vr": "SQ", "Value": [{
    "00404019": code("110005"), "00404028": code("WS1"), "00404033": {"vr": "SQ"},
    "00404050": text("DT", "20260301102000"), "00404051": text("DT", "20260301103000"),
}]}}]
PROGRESS = [{"00741002": {"vr": "SQ", "Value": [{"00741004": {"vr": "DS", "Value": [50]}}]}}]


def first(event, tag):
    return (event.get(tag, {}).get("Value") or [None])[0]


def told(socket, count):
    events = [json.loads(socket.recv(timeout=30)) for _ in range(count)]
    for event in events:
        assert first(event, "00000002") == "1.2.840.10008.5.1.4.34.6.4", event
    return [[first(e, "00001002"), first(e, "00001000"), first(e, "00741000"), "00741002" in e] for e in events]


def until(socket, workitem):
    """The workitems that are told of, up to this one."""
    seen = []
    while workitem not in seen:
        seen.append(told(socket, 1)[0][1])
    return seen


def main(url, elsewhere):
    session = requests.Session()
    session.headers.update(JSON)

    def ask(method, path, body=None):
        answer = session.request(method, url + path, data=json.dumps(body) if body else None, timeout=30)
        answer.raise_for_status()
        return answer

    whole, some = "/workitems/1.2.840.10008.5.1.4.34.5", "/workitems/1.2.840.10008.5.1.4.34.5.1"

    def subscribe(path):
        place = ask("POST", path).headers["Content-Location"]
        return place.replace(url.replace("http", "ws", 1), elsewhere.replace("http", "ws", 1))

    place = subscribe(f"{whole}/subscribers/WATCH?deletionlock=true")
    other = subscribe(f"{some}/subscribers/SOME?filter=ProcedureStepLabel%3DPrint*")
    # One that asks for too much is refused, and the connection is no WebSocket.
    assert session.get(place.replace("ws", "http", 1), timeout=30).status_code == 400
    with connect(place) as watch, connect(other) as few:
        ask("POST", "/workitems?2.25.501", scheduled("Read"))
        ask("PUT", "/workitems/2.25.501/state", [{"00081195": text("UI", LOCK), "00741000": text("CS", "IN PROGRESS")}])
        ask("POST", f"/workitems/2.25.501?{LOCK}", PROGRESS)
        ask("POST", "/workitems/2.25.501/cancelrequest", [{"00741238": text("LT", "not needed")}])
        ask("POST", f"/workitems/2.25.501?{LOCK}", PERFORMED)
        ask("PUT", "/workitems/2.25.501/state", [{"00081195": text("UI", LOCK), "00741000": text("CS", "COMPLETED")}])
        ask("POST", "/workitems?2.25.502", scheduled("Print it"))
        seen = {"watch": told(watch, 6), "some": told(few, 1)}
        ask("POST", f"{whole}/subscribers/WATCH/suspend")
        ask("POST", "/workitems?2.25.503", scheduled("Print more"))
        ask("POST", "/workitems/2.25.502/cancelrequest")
        # Nothing of the third, of which WATCH was not to hear any more.
        seen["suspended"] = told(watch, 2)
        seen["filtered"] = told(few, 3)
    # Kept for who comes back, and not told again to who has asked for more.
    ask("POST", "/workitems?2.25.504", scheduled("Print late"))
    with connect(other) as few:
        seen["late"] = until(few, "2.25.504")
        ask("POST", "/workitems?2.25.505", scheduled("Print now"))
        until(few, "2.25.505")
    ask("POST", "/workitems?2.25.506", scheduled("Print at last"))
    with connect(other) as few:
        seen["again"] = "2.25.504" in until(few, "2.25.506")
    return seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[-1])))
