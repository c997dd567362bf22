//! Retrieve Capabilities (PS3.18 §8.9, Annex H): what this service can do, as WADL in XML or JSON.
//!
//! The table is that of the OpenAPI document as well. A test asks for every line of it.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::accept::{
    Category, DICOM, DICOM_JSON, DICOM_XML, GIF, HTML, JPEG, JSON, OCTET_STREAM, Offer, PDF, PNG, TEXT, WEBP,
    XML, ZIP,
};
use crate::base_url::BaseUrl;
use crate::error::{PROBLEM_JSON, Problem};
use crate::negotiation;
use crate::operation::{
    Answer, Kind, Media, Operation, Parameter, Place, Schema, joined, kind_of, variables,
};
use crate::parameters::Parameters;
use crate::state::Web;

const WADL: &str = "application/vnd.sun.wadl+xml";
const PLAIN_XML: &str = "application/xml";
const OFFERS: &[Offer] = &[Offer::single(WADL), Offer::single(PLAIN_XML), Offer::single(JSON)];

/// An operation, and the templates of the paths that it is at.
pub(crate) struct Capability {
    pub(crate) paths: &'static [&'static str],
    pub(crate) operation: Operation,
}

const fn opaque(name: &'static str) -> Media {
    Media::new(name, Schema::Opaque)
}

const MULTIPART_DICOM: Media = opaque("multipart/related; type=\"application/dicom\"");
const MULTIPART_XML: Media = opaque("multipart/related; type=\"application/dicom+xml\"");
const MULTIPART_OCTETS: Media = opaque("multipart/related; type=\"application/octet-stream\"");
const DATA_SETS: &[Media] = &[opaque(DICOM_JSON), opaque(JSON), MULTIPART_XML];
const IMAGES: &[Media] = &[
    opaque(JPEG),
    opaque(PNG),
    opaque(GIF),
    opaque(WEBP),
    opaque(HTML),
    opaque(TEXT),
    opaque(XML),
    opaque("video/mp4"),
    opaque("video/mpeg"),
    opaque("video/H265"),
    opaque("multipart/related; type=\"image/jpeg\""),
    opaque("multipart/related; type=\"image/png\""),
    opaque("multipart/related; type=\"image/gif\""),
    opaque("multipart/related; type=\"image/webp\""),
    opaque(PDF),
];
const STORED: &[Media] =
    &[opaque(DICOM_JSON), opaque(JSON), opaque(DICOM_XML), MULTIPART_XML, opaque(PROBLEM_JSON)];
const URI: &[Media] = &[
    opaque(JPEG),
    opaque(PNG),
    opaque(GIF),
    opaque(WEBP),
    opaque(HTML),
    opaque(TEXT),
    opaque(XML),
    opaque(PDF),
    opaque("video/mp4"),
    opaque("video/mpeg"),
    opaque("video/H265"),
    opaque(DICOM),
];
const INSTANCES: &[Media] = &[MULTIPART_DICOM, opaque(DICOM), MULTIPART_OCTETS, opaque(ZIP)];
const OCTETS: &[Media] = &[MULTIPART_OCTETS, opaque(OCTET_STREAM)];
const VALUES: &[Media] =
    &[MULTIPART_OCTETS, opaque(OCTET_STREAM), opaque(PDF), opaque("video/mp4"), opaque("video/mpeg")];
const WORKITEM: &[Media] = &[opaque(DICOM_JSON), opaque(JSON), opaque(DICOM_XML), MULTIPART_XML];
const OK: &[Answer] = &[Answer::new(200, &[])];
const CREATED: &[Answer] = &[Answer::new(201, &[])];
const NONE: &[Answer] = &[Answer::new(204, &[])];
const NOT_MODIFIED: Answer = Answer::new(304, &[]);
const FOUND: &[Answer] = &[Answer::new(200, DATA_SETS), Answer::new(204, &[])];

const ACCEPT: Parameter =
    Parameter::query("accept", Kind::Text, "As the header field, which it goes before.");
const LIMIT: Parameter = Parameter::query("limit", Kind::Number, "Results at the most.");
const OFFSET: Parameter = Parameter::query("offset", Kind::Number, "Results that are left out before them.");
const INCLUDE: Parameter =
    Parameter::query("includefield", Kind::Text, "Attributes beyond the usual, with commas; or all.");
const FUZZY: Parameter =
    Parameter::query("fuzzymatching", Kind::Flag, "Every word of a name may be the beginning of one.");
const STUDY_DATE: Parameter = Parameter::query("StudyDate", Kind::Text, "A date or a range of dates.");
const STUDY_TIME: Parameter = Parameter::query("StudyTime", Kind::Text, "A time or a range of times.");
const ACCESSION: Parameter = Parameter::query("AccessionNumber", Kind::Text, "With wild cards.");
const MODALITIES: Parameter =
    Parameter::query("ModalitiesInStudy", Kind::Text, "One, or several with commas.");
const REFERRING: Parameter = Parameter::query("ReferringPhysicianName", Kind::Text, "With wild cards.");
const PATIENT_NAME: Parameter =
    Parameter::query("PatientName", Kind::Text, "With or without marks, with wild cards.");
const PATIENT_ID: Parameter = Parameter::query("PatientID", Kind::Text, "With wild cards.");
const STUDY_UID: Parameter = Parameter::query("StudyInstanceUID", Kind::Text, "One, or several with commas.");
const STUDY_ID: Parameter = Parameter::query("StudyID", Kind::Text, "With wild cards.");
const MODALITY: Parameter = Parameter::query("Modality", Kind::Text, "With wild cards.");
const SERIES_UID: Parameter =
    Parameter::query("SeriesInstanceUID", Kind::Text, "One, or several with commas.");
const SERIES_NUMBER: Parameter = Parameter::query("SeriesNumber", Kind::Text, "A whole number.");
const STEP_DATE: Parameter =
    Parameter::query("PerformedProcedureStepStartDate", Kind::Text, "A date or a range of dates.");
const STEP_TIME: Parameter =
    Parameter::query("PerformedProcedureStepStartTime", Kind::Text, "A time or a range of times.");
const CLASS_UID: Parameter = Parameter::query("SOPClassUID", Kind::Text, "One, or several with commas.");
const INSTANCE_UID: Parameter =
    Parameter::query("SOPInstanceUID", Kind::Text, "One, or several with commas.");
const INSTANCE_NUMBER: Parameter = Parameter::query("InstanceNumber", Kind::Text, "A whole number.");
const VIEWPORT: Parameter = Parameter::query(
    "viewport",
    Kind::Text,
    "Width and height to fit into, then a part of the image: w,h,x,y,w,h.",
);
const WINDOW: Parameter =
    Parameter::query("window", Kind::Text, "Center, width and function: linear, linear-exact or sigmoid.");
const QUALITY: Parameter = Parameter::query("quality", Kind::Number, "1 to 100, of JPEG.");
const REASON: Parameter = Parameter::query("reason", Kind::Text, "Why; it is kept with the act.");
const REJECTION: Parameter =
    Parameter::query("rejection", Kind::Text, "The code of a reason of IHE: a rejection note hides it.");
const IF_NONE_MATCH: Parameter =
    Parameter::head("If-None-Match", Kind::Text, "ETag of an answer that the client has.");
const ANNOTATION: Parameter =
    Parameter::query("annotation", Kind::Text, "What is burnt in: patient, technique, or both with a comma.");
const PROFILE: Parameter = Parameter::query(
    "iccprofile",
    Kind::OneOf(&["no", "yes", "srgb", "adobergb", "rommrgb"]),
    "The colour space, of PNG and WebP: that of the image, or one of these.",
);

/// What every search takes.
const SEARCH: [Parameter; 7] = [
    ACCEPT,
    LIMIT,
    OFFSET,
    INCLUDE,
    FUZZY,
    Parameter::query(
        "emptyvaluematching",
        Kind::Flag,
        "Changes nothing: two quotation marks match no value anyway.",
    ),
    Parameter::query("multiplevaluematching", Kind::Flag, "Changes nothing: lists match anyway."),
];
/// Keys that have to be there (PS3.18 Table 10.6.1-5), by level.
const STUDY_KEYS: [Parameter; 9] =
    [STUDY_DATE, STUDY_TIME, ACCESSION, MODALITIES, REFERRING, PATIENT_NAME, PATIENT_ID, STUDY_UID, STUDY_ID];
const SERIES_KEYS: [Parameter; 5] = [MODALITY, SERIES_UID, SERIES_NUMBER, STEP_DATE, STEP_TIME];
const INSTANCE_KEYS: [Parameter; 3] = [CLASS_UID, INSTANCE_UID, INSTANCE_NUMBER];
const OF_STUDIES: [Parameter; 16] = joined(&[&SEARCH, &STUDY_KEYS]);
const OF_SERIES: [Parameter; 21] = joined(&[&OF_STUDIES, &SERIES_KEYS]);
const OF_INSTANCES: [Parameter; 24] = joined(&[&OF_SERIES, &INSTANCE_KEYS]);
const OF_WORKITEMS: [Parameter; 12] = joined(&[
    &SEARCH,
    &[
        PATIENT_NAME,
        PATIENT_ID,
        Parameter::query("ProcedureStepState", Kind::Text, "SCHEDULED, IN PROGRESS, COMPLETED or CANCELED."),
        Parameter::query(
            "ScheduledProcedureStepStartDateTime",
            Kind::Text,
            "A moment or a range of moments.",
        ),
        Parameter::query("ProcedureStepLabel", Kind::Text, "With wild cards."),
    ],
]);

/// What there is below [`crate::Config::path`].
pub(crate) const CAPABILITIES: &[Capability] = &[
    Capability {
        paths: &[""],
        operation: Operation::of(
            "OPTIONS",
            "RetrieveCapabilities",
            "What this service can do; so at every resource",
            &[Answer::new(200, &[opaque(WADL), opaque(PLAIN_XML), opaque(JSON)])],
        )
        .with(&[ACCEPT]),
    },
    Capability {
        paths: &["studies"],
        operation: Operation::get(
            "SearchForStudies",
            "Studies that match; every attribute of theirs may be a key, by keyword, tag or path",
            FOUND,
        )
        .with(&OF_STUDIES),
    },
    Capability {
        paths: &["series", "studies/{study}/series"],
        operation: Operation::get("SearchForSeries", "Series that match", FOUND).with(&OF_SERIES),
    },
    Capability {
        paths: &["instances", "studies/{study}/instances", "studies/{study}/series/{series}/instances"],
        operation: Operation::get("SearchForInstances", "Instances that match", FOUND).with(&OF_INSTANCES),
    },
    Capability {
        paths: &[
            "studies/{study}",
            "studies/{study}/series/{series}",
            "studies/{study}/series/{series}/instances/{instance}",
        ],
        operation: Operation::get(
            "RetrieveInstances",
            "Instances: in Explicit VR Little Endian, or as stored with transfer-syntax=*; bare where it is one",
            &[Answer::new(200, INSTANCES), Answer::new(206, INSTANCES), NOT_MODIFIED],
        )
        .with(&[ACCEPT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &[
            "studies/{study}/metadata",
            "studies/{study}/series/{series}/metadata",
            "studies/{study}/series/{series}/instances/{instance}/metadata",
        ],
        operation: Operation::get(
            "RetrieveMetadata",
            "Data sets, with URLs in place of large values",
            &[Answer::new(200, DATA_SETS), NOT_MODIFIED],
        )
        .with(&[ACCEPT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &[
            "studies/{study}/rendered",
            "studies/{study}/series/{series}/rendered",
            "studies/{study}/series/{series}/instances/{instance}/rendered",
            "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
        ],
        operation: Operation::get(
            "RetrieveRendered",
            "Images as they are seen; a document as it is",
            &[Answer::new(200, IMAGES), Answer::new(206, IMAGES), NOT_MODIFIED],
        )
        .with(&[ACCEPT, VIEWPORT, WINDOW, QUALITY, ANNOTATION, PROFILE, IF_NONE_MATCH]),
    },
    Capability {
        paths: &[
            "studies/{study}/thumbnail",
            "studies/{study}/series/{series}/thumbnail",
            "studies/{study}/series/{series}/instances/{instance}/thumbnail",
            "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
        ],
        operation: Operation::get(
            "RetrieveThumbnail",
            "One small image",
            &[Answer::new(200, &[opaque(JPEG)]), NOT_MODIFIED],
        )
        .with(&[ACCEPT, VIEWPORT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &["studies/{study}/series/{series}/instances/{instance}/frames/{frames}"],
        operation: Operation::get(
            "RetrieveFrames",
            "Pixels of frames, by their numbers with commas between: decoded, or as stored under transfer-syntax=* or the media type of their syntax",
            &[Answer::new(200, OCTETS), Answer::new(206, OCTETS), NOT_MODIFIED],
        )
        .with(&[ACCEPT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &["studies/{study}/series/{series}/instances/{instance}/bulkdata/{attribute}"],
        operation: Operation::get(
            "RetrieveBulkData",
            "The value of an attribute, as metadata name it",
            &[Answer::new(200, VALUES), Answer::new(206, VALUES), NOT_MODIFIED],
        )
        .with(&[ACCEPT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &[
            "studies/{study}/bulkdata",
            "studies/{study}/series/{series}/bulkdata",
            "studies/{study}/series/{series}/instances/{instance}/bulkdata",
        ],
        operation: Operation::get(
            "RetrieveAllBulkData",
            "All large values, one part each",
            &[Answer::new(200, &[MULTIPART_OCTETS]), Answer::new(206, &[MULTIPART_OCTETS]), NOT_MODIFIED],
        )
        .with(&[ACCEPT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &[
            "studies/{study}/pixeldata",
            "studies/{study}/series/{series}/pixeldata",
            "studies/{study}/series/{series}/instances/{instance}/pixeldata",
        ],
        operation: Operation::get(
            "RetrievePixelData",
            "The pixels of all images, one part each",
            &[Answer::new(200, &[MULTIPART_OCTETS]), Answer::new(206, &[MULTIPART_OCTETS]), NOT_MODIFIED],
        )
        .with(&[ACCEPT, IF_NONE_MATCH]),
    },
    Capability {
        paths: &["studies", "studies/{study}"],
        operation: Operation::of(
            "POST",
            "StoreInstances",
            "Stores instances; each is accounted for",
            &[
                Answer::new(200, STORED),
                Answer::new(202, STORED),
                // None of them was stored; each has its reason.
                Answer::new(409, STORED),
            ],
        )
        .with(&[ACCEPT])
        .taking(&[
            MULTIPART_DICOM,
            opaque("multipart/related; type=\"application/dicom+json\""),
            MULTIPART_XML,
            opaque(DICOM),
            opaque(DICOM_JSON),
            opaque(DICOM_XML),
        ]),
    },
    Capability {
        paths: &["workitems"],
        operation: Operation::get(
            "SearchForWorkitems",
            "Workitems that match; every attribute of theirs may be a key",
            FOUND,
        )
        .with(&OF_WORKITEMS),
    },
    Capability {
        paths: &["workitems"],
        operation: Operation::of("POST", "CreateWorkitem", "Puts a workitem on the list; its UID is the whole query, or in the data set", CREATED)
            .with(&[Parameter::query("workitem", Kind::Uid, "Its UID.")])
            .taking(WORKITEM),
    },
    Capability {
        paths: &["workitems/{workitem}"],
        operation: Operation::get("RetrieveWorkitem", "A workitem, but for its Transaction UID", &[Answer::new(200, DATA_SETS)])
            .with(&[ACCEPT]),
    },
    Capability {
        paths: &["workitems/{workitem}"],
        operation: Operation::of("POST", "UpdateWorkitem", "Changes a workitem; of one in progress with its Transaction UID, which is the whole query or in the data set", OK)
            .with(&[Parameter::query("transaction-uid", Kind::Uid, "The lock of one in progress.")])
            .taking(WORKITEM),
    },
    Capability {
        paths: &["workitems/{workitem}/state"],
        operation: Operation::of("PUT", "ChangeWorkitemState", "Claims a workitem, or brings it to its end", OK).taking(WORKITEM),
    },
    Capability {
        paths: &["workitems/{workitem}/cancelrequest"],
        operation: Operation::of("POST", "RequestWorkitemCancellation", "Asks that it be canceled", &[Answer::new(202, &[])]),
    },
    Capability {
        paths: &["workitems/{workitem}/subscribers/{aet}"],
        operation: Operation::of("POST", "Subscribe", "Tells a subscriber of a workitem, or of all (1.2.840.10008.5.1.4.34.5), or of those that match (1.2.840.10008.5.1.4.34.5.1)", CREATED)
            .with(&[
                Parameter::query("deletionlock", Kind::Flag, "Whether they are kept until it ends the subscription."),
                Parameter::query("filter", Kind::Text, "attribute=value, with commas between several."),
            ]),
    },
    Capability {
        paths: &["workitems/{workitem}/subscribers/{aet}"],
        operation: Operation::of("DELETE", "Unsubscribe", "Ends it", OK),
    },
    Capability {
        paths: &["workitems/{workitem}/subscribers/{aet}/suspend"],
        operation: Operation::of("POST", "SuspendSubscription", "Tells nothing of workitems that are new", OK),
    },
    Capability {
        paths: &["subscribers/{aet}"],
        operation: Operation::get("OpenNotificationConnection", "A WebSocket, on which reports come as data sets in JSON", &[Answer::new(101, &[])]),
    },
    Capability {
        paths: &[
            "studies/{study}",
            "studies/{study}/series/{series}",
            "studies/{study}/series/{series}/instances/{instance}",
        ],
        operation: Operation::of("DELETE", "Delete", "Deletes what is shown of it; not of the standard", NONE)
            .with(&[REASON, REJECTION]),
    },
];

/// WADO-URI, which has one resource beside them (PS3.18 §9).
pub(crate) const WADO_URI: &[Operation] = &[Operation::get(
    "RetrieveInstance",
    "An instance by its UIDs, as it is or rendered",
    &[Answer::new(200, URI), Answer::new(206, URI), NOT_MODIFIED],
)
.with(&[
    Parameter::query("requestType", Kind::OneOf(&["WADO"]), "WADO.").required(),
    Parameter::query("studyUID", Kind::Uid, "Study Instance UID.").required(),
    Parameter::query("seriesUID", Kind::Uid, "Series Instance UID.").required(),
    Parameter::query("objectUID", Kind::Uid, "SOP Instance UID.").required(),
    Parameter::query("contentType", Kind::Text, "Media types, the better one first."),
    Parameter::query("transferSyntax", Kind::Uid, "Of application/dicom."),
    Parameter::query("frameNumber", Kind::Number, "From 1."),
    Parameter::query("rows", Kind::Number, "Height to fit into."),
    Parameter::query("columns", Kind::Number, "Width to fit into."),
    Parameter::query("region", Kind::Text, "Left, upper, right and lower edge, from 0 to 1, with commas."),
    Parameter::query("windowCenter", Kind::Text, "With windowWidth."),
    Parameter::query("windowWidth", Kind::Text, "With windowCenter."),
    Parameter::query("imageQuality", Kind::Number, "1 to 100."),
    ANNOTATION,
    Parameter::query("imageAnnotation", Kind::Text, "Another name of annotation."),
    Parameter::query("presentationSeriesUID", Kind::Uid, "With presentationUID: the series that it is in."),
    Parameter::query("presentationUID", Kind::Uid, "The presentation state that it is shown by."),
])];

/// Answers every OPTIONS request; preflights were answered before.
pub(crate) async fn answer(State(web): State<Web>, request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS {
        let uri = request.uri().clone();
        let mut response = next.run(request).await;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && let Ok(allowed) = HeaderValue::from_str(&allowed(uri.path()))
        {
            response.headers_mut().insert(ALLOW, allowed);
        }
        return response;
    }
    let (parts, _) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let accepts = negotiation::accepts_or_anything(&parts.headers, &parameters);
    match accepts.best(Category::Any, OFFERS) {
        Ok(offer) => {
            let base = BaseUrl::of(&parts, &web.config);
            let json = as_json(&base);
            let text = if offer.media == JSON { json.to_string() } else { as_xml(&json) };
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(offer.media));
            response
        }
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

/// What the resource at a path takes. The router would say it without OPTIONS, which is answered before it.
fn allowed(path: &str) -> String {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let is_it = |template: &&str| {
        let names: Vec<&str> = template.split('/').collect();
        // An attribute may be one in an item.
        let is_long_enough = names.len() == segments.len()
            || names.last() == Some(&"{attribute}") && names.len() < segments.len();
        let mut pairs = names.iter().zip(&segments);
        is_long_enough && pairs.all(|(name, segment)| name.starts_with('{') || name == segment)
    };
    let mut methods: Vec<&str> = Vec::new();
    for capability in CAPABILITIES.iter().filter(|capability| capability.paths.iter().any(&is_it)) {
        match capability.operation.method {
            "GET" => methods.extend(["GET", "HEAD"]),
            method => methods.push(method),
        }
    }
    methods.push("OPTIONS");
    methods.join(",")
}

/// Each path, with what can be done there.
fn resources() -> Vec<(&'static str, Vec<&'static Operation>)> {
    let mut resources: Vec<(&str, Vec<&Operation>)> = Vec::new();
    for capability in CAPABILITIES {
        for path in capability.paths {
            match resources.iter_mut().find(|(known, _)| known == path) {
                Some((_, operations)) => operations.push(&capability.operation),
                None => resources.push((path, vec![&capability.operation])),
            }
        }
    }
    resources
}

fn xml_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "xs:nonNegativeInteger",
        Kind::Flag => "xs:boolean",
        Kind::Text | Kind::Uid | Kind::Uids | Kind::OneOf(_) => "xs:string",
    }
}

/// WADL as JSON: attributes with `@` (PS3.18 §H).
fn as_json(base: &BaseUrl) -> Value {
    let resources: Vec<Value> = resources()
        .into_iter()
        .map(|(path, operations)| {
            let params: Vec<Value> = variables(path)
                .map(|name| {
                    let kind = xml_kind(kind_of(name));
                    json!({ "@name": name, "@style": "template", "@required": true, "@type": kind })
                })
                .collect();
            let methods: Vec<Value> =
                operations.into_iter().map(|operation| method_as_json(operation, path)).collect();
            json!({ "@path": path, "param": params, "method": methods })
        })
        .collect();
    json!({ "application": { "resources": { "@base": format!("{base}/"), "resource": resources } } })
}

fn method_as_json(operation: &Operation, path: &str) -> Value {
    let representations = |media: &[Media]| -> Vec<Value> {
        media.iter().map(|media| json!({ "@mediaType": media.name })).collect()
    };
    let parameters = operation.parameters.iter().map(|parameter| {
        json!({
            "@name": parameter.name, "@style": if parameter.place == Place::Head { "header" } else { "query" },
            "@required": parameter.is_required, "@type": xml_kind(parameter.kind),
        })
    });
    let answers = operation.answers.iter().map(|answer| {
        json!({ "@status": answer.status.to_string(), "representation": representations(answer.media) })
    });
    json!({
        "@name": operation.method,
        "@id": operation.name_at(path),
        "doc": { "@title": operation.summary },
        "request": { "param": parameters.collect::<Vec<_>>(), "representation": representations(operation.body) },
        "response": answers.collect::<Vec<_>>(),
    })
}

/// Elements in the order that WADL has them.
const ORDER: [&str; 8] =
    ["doc", "resources", "resource", "param", "method", "request", "response", "representation"];

/// The same in XML.
fn as_xml(json: &Value) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let root = "application xmlns=\"http://wadl.dev.java.net/2009/02\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"";
    element(root, json.get("application").unwrap_or(json), 0, &mut text);
    text
}

/// An element: fields with `@` are its attributes, the others elements within, one for each of a list.
fn element(start: &str, value: &Value, depth: usize, text: &mut String) {
    let indent = " ".repeat(depth);
    let _ = write!(text, "{indent}<{start}");
    let fields = value.as_object().into_iter().flatten();
    for (name, value) in fields.filter_map(|(name, value)| Some((name.strip_prefix('@')?, value))) {
        let value = value.as_str().map_or_else(|| value.to_string(), escaped);
        let _ = write!(text, " {name}=\"{value}\"");
    }
    let within = ORDER.iter().filter_map(|name| Some((*name, value.get(*name)?)));
    let within = within.flat_map(|(name, value)| {
        let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        all.iter().map(move |value| (name, value))
    });
    let within: Vec<(&str, &Value)> = within.collect();
    if within.is_empty() {
        text.push_str("/>\n");
        return;
    }
    text.push_str(">\n");
    within.into_iter().for_each(|(name, value)| element(name, value, depth + 1, text));
    let name = start.split(' ').next().unwrap_or(start);
    let _ = writeln!(text, "{indent}</{name}>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
