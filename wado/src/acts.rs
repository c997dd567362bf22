//! What is done to the archive beyond storing, for an operator: `/api/v1`.
//!
//! | resource | |
//! |---|---|
//! | `POST /acts` | `{"act": {"kind": "delete", "of": {"study": "1.2"}}, "reason": "…"}`; gives the acts as they stand in the log |
//! | `GET /acts` | what was done, from the newest; `before` and `limit` |
//! | `GET /deleted` | what is deleted or rejected |
//! | `GET /quarantine` | what came under UIDs that were taken |
//! | `GET /text` | how the text of each sender is read: as it is declared, or repaired |
//! | `GET /text/studies` | which studies that are; `sender`, `reading`, `by`, `unclear`, `study`, `before` and `limit` |
//! | `GET /audit` | who did what, and what became of it; `before` and `limit` |
//!
//! DICOMweb's `DELETE` of a study, series or instance is the act `delete`; its reason may stand in the query.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dicom_store::ledger::Entry;
use dicom_store::{Archive, Hidden, InstanceState, KeptAside, Order, Part, Recorded};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{CpuPool, Exchange};

use crate::config::Config;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;
use crate::{auth, cors, peers, text};

/// Rows of an answer that says nothing else, and at the most.
const ROWS: u32 = 100;
const MOST_ROWS: u32 = 10_000;

/// The operator's API, to be nested at `/api/v1`. `exchange`: the work with peers.
pub fn api_router(archive: Archive, pool: CpuPool, config: Config, exchange: Exchange) -> Router {
    let web = Web::new(archive, pool, config);
    Router::new()
        .route("/acts", get(acts).post(act))
        .route("/deleted", get(deleted))
        .route("/quarantine", get(quarantine))
        .route("/text", get(text::senders))
        .route("/text/studies", get(text::studies))
        .route("/audit", get(audit))
        .fallback(unknown)
        .layer(from_fn_with_state(web.clone(), auth::challenge))
        .layer(from_fn_with_state(web.clone(), cors::allow))
        .with_state(web.clone())
        .merge(peers::router(web, exchange))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!("the API has no resource at {}", uri.path()))
}

/// What is asked for by `POST /acts`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    act: Order,
    #[serde(default)]
    reason: String,
}

async fn act(State(web): State<Web>, headers: HeaderMap, request: Request) -> Result<Response, Problem> {
    // A page elsewhere can send any other type without being asked.
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(Problem::unsupported("an act is sent as application/json"));
    }
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, MOST_BYTES)
        .await
        .map_err(|_| Problem::too_large(format!("an act has up to {MOST_BYTES} bytes")))?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the act cannot be read: {error}")))?;
    let done = web.session(&parts).act(&asked.act, &asked.reason).await?;
    Ok(answer(&done.iter().map(entry).collect()))
}

/// Bytes of a request, at the most.
const MOST_BYTES: usize = 1 << 20;

/// `DELETE` of what a path of DICOMweb names.
pub(crate) async fn delete(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let target = Target::from_request_parts(&mut parts, &web).await?;
    let study = target.study.ok_or_else(|| Problem::not_found("the path names no study"))?;
    let of = Part { study, series: target.series, instance: target.instance };
    let parameters = Parameters::of(&parts.uri);
    let reason = parameters.get("reason").unwrap_or_default();
    web.session(&parts).act(&Order::Delete { of }, reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn acts(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let page = Page::of(&parts.uri)?;
    let found = web.session(&parts).acts(page.before, page.limit).await?;
    let recorded = |Recorded { entry: done, undone_by }: &Recorded| {
        let mut value = entry(done);
        if let (Value::Object(fields), Some(by)) = (&mut value, undone_by) {
            fields.insert("undone-by".to_owned(), json!(by));
        }
        value
    };
    Ok(answer(&found.iter().map(recorded).collect()))
}

async fn deleted(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let session = web.session(&parts);
    let found = session.hidden(Page::of(&parts.uri)?.limit).await?;
    let row = |Hidden { study, series, instance, state, act }: &Hidden| {
        let state = if *state == InstanceState::Rejected { "rejected" } else { "deleted" };
        json!({ "study": study, "series": series, "instance": instance, "state": state, "act": act })
    };
    Ok(answer(&found.iter().map(row).collect()))
}

async fn quarantine(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let found = web.session(&parts).kept_aside(Page::of(&parts.uri)?.limit).await?;
    let row = |aside: &KeptAside| {
        json!({
            "study": aside.study, "series": aside.series, "instance": aside.instance, "digest": aside.digest,
            "sender": aside.sender, "received": aside.received, "length": aside.length,
            "can-be-shown": aside.can_be_shown,
        })
    };
    Ok(answer(&found.iter().map(row).collect()))
}

async fn audit(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let page = Page::of(&parts.uri)?;
    let found = web.session(&parts).audit(page.before, page.limit).await?;
    let rows = found.iter().map(|(place, row)| {
        json!({
            "place": place, "at": row.at, "actor": row.actor, "action": row.action, "what": row.what,
            "outcome": row.outcome,
        })
    });
    Ok(answer(&rows.collect()))
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
        let limit = number("limit")?.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(ROWS);
        Ok(Self { before: number("before")?, limit: limit.min(MOST_ROWS) })
    }
}

fn entry(entry: &Entry) -> Value {
    json!({
        "number": entry.number, "at": entry.at, "author": entry.author, "reason": entry.reason, "act": entry.act,
    })
}

pub(crate) fn answer(rows: &Vec<Value>) -> Response {
    let text = serde_json::to_vec(rows).expect("values of JSON are always JSON");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
