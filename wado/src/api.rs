//! The own API of the archive, `/api/v1`, and the document that tells it, `/api/openapi.json`.
//!
//! | resource | |
//! |---|---|
//! | `GET /status` | whether everybody is let in, and the version |
//! | `GET /server` | what this server is, can do and allows, and what is in its way |
//! | `GET /studies/{study}/display` | all that a viewer needs to open a study, with the other studies of the patient |
//! | `GET /window-presets` | windows that readers choose |
//! | `POST /acts` | `{"act": {"kind": "delete", "of": {"study": "1.2"}}, "reason": "…"}`; gives the acts as they stand in the log |
//! | `GET /acts` | what was done, from the newest; `before` and `limit` |
//! | `GET /deleted` | what is deleted or rejected |
//! | `GET /damaged` | what is not given out because its bytes are not what came; `before` and `limit` |
//! | `GET /quarantine` | what came under UIDs that were taken |
//! | `GET /text` | how the text of each sender is read: as it is declared, or repaired |
//! | `GET /text/studies` | which studies that are; `sender`, `reading`, `by`, `unclear`, `study`, `before` and `limit` |
//! | `GET /audit` | who did what, and what became of it; `before` and `limit` |
//! | `GET /peers` | the table of remote AEs; those with `"fixed": true` are of the settings and cannot be changed here |
//! | `GET`, `PUT`, `DELETE /peers/{aet}` | one; the body of `PUT` has the fields of `[[dimse.peers]]` but the title |
//! | `POST /peers/{aet}/echo` | C-ECHO: `{"milliseconds": 3}`, or 502 with what the peer did instead |
//! | `GET /peers/{aet}/studies` | studies that a peer has, in the DICOM JSON Model: attributes as of QIDO-RS are keys, `limit` (100) |
//! | `POST /peers/{aet}/retrieve` | `{"studies": ["1.2"]}` are fetched by a job; 202 |
//! | `POST /peers/{aet}/send` | the same to a peer, at whatever hour: what was not delivered, was refused, or is corrected since; with `"again": true` all of it |
//! | `POST /peers/{aet}/import` | `{"since": "20200101", "until": …, "at-a-time": 2, "mib-s": 10}`: all of it comes over, by a job; 202 |
//! | `GET /imports` | how far that is |
//! | `GET /retrievals` | what is fetched and how far it is; `study`, or `after` a `name`; `limit` |
//! | `GET /deliveries` | the same of what is sent; of one `study` with what became of each instance |
//! | `GET /completions` | which studies are complete, with so many instances, and what speaks for it; `study`, or `after` a `name`; `limit` |
//! | `GET /packs` | how the packs are, and what compressing them has saved |
//! | `GET /jobs` | what is to be done, runs, or is parked with the reason; `kind`, `state`, `after` a number; `limit` |
//! | `GET`, `PUT`, `DELETE /jobs/{job}` | one; `{"priority": "batch"}`, `"usual"` or `"awaited"`; cancelled, 202 |
//! | `POST /jobs/{job}/run` | one that waits or is parked is due now, before others; 202 |
//! | `GET /senders` | who has called and is in no table: to be named |
//!
//! A resource is a line of [`resources`]: its handlers and what the document says of it stand together, and a test asks
//! for each. Refusals are `application/problem+json` (RFC 9457).

pub(crate) mod acts;
mod display;
mod document;
mod exchange;
mod jobs;
mod peers;
mod presets;
mod priors;
mod server;
mod text;

use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;
use worker::Exchange;

use crate::accept::{DICOM_JSON, JSON, media_type};
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::negotiation::content_type;
use crate::operation::{Answer, Kind, Media, Operation, Parameter, Schema};
use crate::parameters::Parameters;
use crate::router::PATH;
use crate::state::Web;
use crate::{auth, capabilities, cors, unread};

pub use presets::WindowPreset;
pub use server::About;

use document::Described;

/// Rows of an answer that says nothing else, and at the most.
pub(crate) const ROWS: u32 = 100;
pub(crate) const MOST_ROWS: u32 = 10_000;

/// Below the root of the server.
const ROOT: &str = "/api/v1";

/// What the handlers of the API have beside what all have.
#[derive(Clone)]
struct Api {
    web: Web,
    about: About,
    /// The work with peers.
    exchange: Exchange,
}

impl FromRef<Api> for Web {
    fn from_ref(api: &Api) -> Self {
        api.web.clone()
    }
}

/// The API, to be merged into the routes of the server. `exchange`: the work with peers.
pub fn api_router(web: Web, about: About, exchange: Exchange) -> Router {
    let api = Api { web: web.clone(), about, exchange };
    let router = resources().into_iter().fold(Router::new(), |router, resource| {
        router.route(&format!("{ROOT}{}", resource.path), resource.handlers)
    });
    router
        .route("/api/openapi.json", get(openapi))
        .route("/api", any(unknown))
        .route("/api/{*rest}", any(unknown))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(web.clone(), auth::challenge))
        .layer(from_fn_with_state(web, cors::allow))
        .layer(from_fn(unread::drain))
        .with_state(api)
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!("the API has no resource at {}", uri.path()))
}

pub(crate) async fn not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"))
}

/// A resource of the API.
struct Resource {
    path: &'static str,
    operations: &'static [Operation],
    handlers: MethodRouter<Api>,
}

impl Resource {
    fn new(path: &'static str, operations: &'static [Operation], handlers: MethodRouter<Api>) -> Self {
        Self { path, operations, handlers }
    }
}

fn resources() -> Vec<Resource> {
    vec![
        Resource::new("/status", STATUS, get(server::status)),
        Resource::new("/server", SERVER, get(server::server)),
        Resource::new("/studies/{study}/display", DISPLAY, get(display::display)),
        Resource::new("/window-presets", WINDOW_PRESETS, get(presets::presets)),
        Resource::new("/acts", ACTS, get(acts::acts).post(acts::act)),
        Resource::new("/deleted", DELETED, get(acts::deleted)),
        Resource::new("/damaged", DAMAGED, get(acts::damaged)),
        Resource::new("/quarantine", QUARANTINE, get(acts::quarantine)),
        Resource::new("/text", TEXT, get(text::senders)),
        Resource::new("/text/studies", TEXT_STUDIES, get(text::studies)),
        Resource::new("/audit", AUDIT, get(acts::audit)),
        Resource::new("/peers", PEERS, get(peers::peers)),
        Resource::new("/peers/{aet}", PEER, get(peers::peer).put(peers::put).delete(peers::remove)),
        Resource::new("/peers/{aet}/echo", ECHO, post(peers::echo)),
        Resource::new("/peers/{aet}/studies", PEER_STUDIES, get(exchange::studies)),
        Resource::new("/peers/{aet}/retrieve", RETRIEVE, post(exchange::retrieve)),
        Resource::new("/peers/{aet}/send", SEND, post(exchange::send)),
        Resource::new("/peers/{aet}/import", IMPORT, post(exchange::import)),
        Resource::new("/imports", IMPORTS, get(exchange::imports)),
        Resource::new("/retrievals", RETRIEVALS, get(exchange::retrievals)),
        Resource::new("/deliveries", DELIVERIES, get(exchange::deliveries)),
        Resource::new("/completions", COMPLETIONS, get(exchange::completions)),
        Resource::new("/packs", PACKS, get(jobs::packs)),
        Resource::new("/jobs", JOBS, get(jobs::jobs)),
        Resource::new("/jobs/{job}", JOB, get(jobs::job).put(jobs::prioritise).delete(jobs::cancel)),
        Resource::new("/jobs/{job}/run", RUN, post(jobs::run)),
        Resource::new("/senders", SENDERS, get(peers::senders)),
    ]
}

const LIMIT: Parameter =
    Parameter::query("limit", Kind::Number, "Rows at the most; 100 without, 10,000 in any case.");
const BEFORE: Parameter =
    Parameter::query("before", Kind::Number, "Rows behind this one, by its number or place.");

/// One answer of JSON.
macro_rules! json {
    ($schema:expr) => {
        &[Answer::new(200, &[Media::new(JSON, $schema)])]
    };
}

const STATUS: &[Operation] =
    &[Operation::get("status", "Whether everybody is let in, and the version", json!(Schema::One("Status")))];
const SERVER: &[Operation] = &[Operation::get(
    "server",
    "What this server is, can do and allows, and what is in its way",
    json!(Schema::One("Server")),
)];
const DISPLAY: &[Operation] = &[Operation::get(
    "display",
    "All that a viewer needs to open a study: series and instances in the order of display, and the other studies of the patient, the most useful first",
    json!(Schema::One("Display")),
)
.with(&[Parameter::query("instances", Kind::Flag, "Whether series come with their instances; true without.")])];
const WINDOW_PRESETS: &[Operation] = &[Operation::get(
    "window-presets",
    "Windows that readers choose, by modality",
    json!(Schema::Many("WindowPreset")),
)
.with(&[Parameter::query("modality", Kind::Text, "Those of one modality.")])];
const ACTS: &[Operation] = &[
    Operation::get("acts", "What was done to the archive, from the newest", json!(Schema::Many("Act")))
        .with(&[BEFORE, LIMIT]),
    Operation::of(
        "POST",
        "act",
        "Deletes, restores, destroys, corrects, merges, moves, promotes, discards or undoes",
        json!(Schema::Many("Act")),
    )
    .taking(&[Media::new(JSON, Schema::One("Order"))]),
];
const DELETED: &[Operation] =
    &[Operation::get("deleted", "What is deleted or rejected", json!(Schema::Many("Hidden"))).with(&[LIMIT])];
const DAMAGED: &[Operation] = &[Operation::get(
    "damaged",
    "What is not given out because its bytes are not what came, from what was stored last",
    json!(Schema::Many("Damaged")),
)
.with(&[BEFORE, LIMIT])];
const QUARANTINE: &[Operation] =
    &[Operation::get("quarantine", "What came under UIDs that were taken", json!(Schema::Many("KeptAside")))
        .with(&[LIMIT])];
const TEXT: &[Operation] =
    &[Operation::get("text", "How the text of each sender is read", json!(Schema::Many("SenderText")))];
const TEXT_STUDIES: &[Operation] = &[Operation::get(
    "text-studies",
    "Studies whose text is not read as it is declared, from the one that came last",
    json!(Schema::Many("StudyText")),
)
.with(&[
    Parameter::query("study", Kind::Uids, "These studies."),
    Parameter::query("sender", Kind::Text, "What this sender sent."),
    Parameter::query("reading", Kind::Text, "`declared`, or the encoding that it is read in instead."),
    Parameter::query("by", Kind::OneOf(&["rule", "guess"]), "Who says so."),
    Parameter::query("unclear", Kind::Flag, "Whether some of it may be read wrong."),
    BEFORE,
    LIMIT,
])];
const AUDIT: &[Operation] = &[Operation::get(
    "audit",
    "Who did what, and what became of it, from the newest",
    json!(Schema::Many("Audited")),
)
.with(&[BEFORE, LIMIT])];
const PEERS: &[Operation] = &[Operation::get(
    "peers",
    "The table of remote AEs, those of the settings first",
    json!(Schema::Many("Peer")),
)];
const PEER: &[Operation] = &[
    Operation::get("peer", "One of them", json!(Schema::One("Peer"))),
    Operation::of(
        "PUT",
        "put-peer",
        "Adds or changes one that is not of the settings",
        &[
            Answer::new(200, &[Media::new(JSON, Schema::One("Peer"))]),
            Answer::new(201, &[Media::new(JSON, Schema::One("Peer"))]),
        ],
    )
    .taking(&[Media::new(JSON, Schema::One("NewPeer"))]),
    Operation::of("DELETE", "remove-peer", "Removes one", &[Answer::new(204, &[])]),
];
const ECHO: &[Operation] = &[Operation::of("POST", "echo", "C-ECHO to a peer", json!(Schema::One("Echo")))];
const PEER_STUDIES: &[Operation] = &[Operation::get(
    "peer-studies",
    "Studies that a peer has, in the DICOM JSON Model; attributes as of QIDO-RS are keys",
    &[Answer::new(200, &[Media::new(DICOM_JSON, Schema::Opaque)])],
)
.with(&[
    Parameter::query("PatientName", Kind::Text, "With wild cards."),
    Parameter::query("PatientID", Kind::Text, "With wild cards."),
    Parameter::query("StudyDate", Kind::Text, "A date or a range of dates."),
    Parameter::query("limit", Kind::Number, "Studies at the most; 100 without, 5,000 in any case."),
])];
const ORDERED: &[Answer] = &[Answer::new(202, &[Media::new(JSON, Schema::One("Ordered"))])];
const STUDIES: &[Media] = &[Media::new(JSON, Schema::One("Studies"))];
const RETRIEVE: &[Operation] =
    &[Operation::of("POST", "retrieve", "Has studies fetched from a peer", ORDERED).taking(STUDIES)];
const SEND: &[Operation] = &[Operation::of(
    "POST",
    "send",
    "Has studies sent to a peer or a STOW-RS service, at whatever hour",
    ORDERED,
)
.taking(&[Media::new(JSON, Schema::One("ToBeSent"))])];
const IMPORT: &[Operation] = &[Operation::of(
    "POST",
    "import",
    "Has all of a peer brought over",
    &[Answer::new(202, &[Media::new(JSON, Schema::Opaque)])],
)
.taking(&[Media::new(JSON, Schema::One("Import"))])];
const STUDY: Parameter = Parameter::query("study", Kind::Uid, "Of this study.");
const AFTER: Parameter = Parameter::query("after", Kind::Text, "Rows behind this name.");
const NOTED: &[Answer] = json!(Schema::Many("Noted"));
const IMPORTS: &[Operation] =
    &[Operation::get("imports", "What is brought over, and how far that is", NOTED).with(&[AFTER, LIMIT])];
const RETRIEVALS: &[Operation] =
    &[Operation::get("retrievals", "What is fetched, and how far that is", NOTED)
        .with(&[STUDY, AFTER, LIMIT])];
const DELIVERIES: &[Operation] = &[Operation::get(
    "deliveries",
    "What is sent, and how far that is; of one study with what became of each instance",
    NOTED,
)
.with(&[STUDY, AFTER, LIMIT])];
const COMPLETIONS: &[Operation] = &[Operation::get(
    "completions",
    "Which studies are complete, and what speaks for it: every piece of evidence, the first one first",
    json!(Schema::Many("Completion")),
)
.with(&[STUDY, AFTER, LIMIT])];
const PACKS: &[Operation] = &[Operation::get(
    "packs",
    "How the packs are, and what compressing them has saved",
    json!(Schema::One("Packs")),
)];
const JOBS: &[Operation] = &[Operation::get(
    "jobs",
    "What is to be done, runs or is parked, with the reason",
    json!(Schema::Many("Job")),
)
.with(&[
    Parameter::query("kind", Kind::Text, "Of this kind."),
    Parameter::query("state", Kind::OneOf(&["waiting", "running", "parked"]), "In this state."),
    Parameter::query("after", Kind::Number, "Rows behind the job of this number."),
    LIMIT,
])];
const STEERED: &[Answer] = &[Answer::new(202, &[])];
const JOB: &[Operation] = &[
    Operation::get("job", "One of them", json!(Schema::One("Job"))),
    Operation::of("PUT", "prioritise-job", "Says what it comes before", json!(Schema::One("Job")))
        .taking(&[Media::new(JSON, Schema::One("JobWish"))]),
    Operation::of("DELETE", "cancel-job", "Takes it out of the queue; where it runs it is stopped", STEERED),
];
const RUN: &[Operation] = &[Operation::of(
    "POST",
    "run-job",
    "Has one that waits or is parked run now, its attempts counted anew",
    STEERED,
)];
const SENDERS: &[Operation] = &[Operation::get(
    "senders",
    "Who has called and is in no table, to be named",
    json!(Schema::Many("Sender")),
)];

/// `/api/openapi.json`, with the addresses that the client sees.
async fn openapi(State(api): State<Api>, request: Request) -> Json<Value> {
    let (parts, _) = request.into_parts();
    let base = BaseUrl::of(&parts, &api.web.config);
    Json(described(api.about.version, base.root()))
}

fn described(version: &str, server: &str) -> Value {
    let own = resources();
    let of_own = own.iter().map(|Resource { path, operations, .. }| Described {
        tag: "filmless",
        path: format!("{ROOT}{path}"),
        operations: operations.iter().collect(),
    });
    let of_dicomweb = capabilities::CAPABILITIES.iter().flat_map(|capability| {
        capability.paths.iter().map(move |path| Described {
            tag: "DICOMweb",
            path: format!("{PATH}/{path}"),
            operations: vec![&capability.operation],
        })
    });
    let of_uri = Described {
        tag: "DICOMweb",
        path: "/wado".to_owned(),
        operations: capabilities::WADO_URI.iter().collect(),
    };
    let all: Vec<Described<'_>> = of_own.chain(of_dicomweb).chain([of_uri]).collect();
    document::document(&all, version, server)
}

/// Which rows are asked for.
pub(crate) struct Page {
    pub(crate) before: Option<u64>,
    pub(crate) limit: u32,
}

impl Page {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let parameters = Parameters::of(uri);
        let number = |name: &str| {
            let text = parameters.get(name);
            text.map(|text| text.parse::<u64>().map_err(|_| Problem::invalid(format!("{name} is no number"))))
                .transpose()
        };
        let limit = number("limit")?.map_or(ROWS, |limit| u32::try_from(limit).unwrap_or(MOST_ROWS));
        // Nothing has a place behind this one.
        let before = number("before")?.map(|before| before.min(i64::MAX.unsigned_abs()));
        Ok(Self { before, limit: limit.min(MOST_ROWS) })
    }
}

/// What a body says in JSON. `what`: its name with an article.
///
/// # Errors
/// 415 for another media type: a page elsewhere can send those without being asked. 413 behind `most` bytes, 400 for
/// what is no such thing.
async fn json_body<T: DeserializeOwned>(
    parts: &Parts,
    body: Body,
    most: usize,
    what: &str,
) -> Result<T, Problem> {
    if media_type(content_type(&parts.headers)).0 != JSON {
        return Err(Problem::unsupported(format!("{what} is sent as {JSON}")));
    }
    let bytes = axum::body::to_bytes(body, most).await;
    let bytes = bytes.map_err(|_| Problem::too_large(format!("{what} has up to {most} bytes")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::invalid(format!("{what} cannot be read: {error}")))
}

/// An answer of rows, which nobody keeps.
pub(crate) fn answer(rows: &[Value]) -> Response {
    let mut response =
        Response::new(serde_json::to_vec(rows).expect("values of JSON are always JSON").into());
    no_store(&mut response);
    response
}

fn no_store(response: &mut Response) {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every `$ref` of a value.
    fn references<'a>(value: &'a Value, into: &mut HashSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    into.insert(to);
                }
                fields.values().for_each(|value| references(value, into));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, into)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there_and_every_one_that_is_there_is_named() {
        let document = described("0", "http://localhost");
        let mut named = HashSet::new();
        references(&document, &mut named);
        let there = document["components"]["schemas"].as_object().unwrap();
        let there: HashSet<String> =
            there.keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(named, there.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document = described("0", "http://localhost");
        let paths = document["paths"].as_object().unwrap();
        let ids: Vec<&str> = paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        assert!(ids.len() > 30, "{ids:?}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{ids:?}");
    }
}
