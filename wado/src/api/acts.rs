//! What is done to the archive beyond storing, for an operator.
//!
//! DICOMweb's `DELETE` of a study, series or instance is the act `delete`; its reason may stand in the query.

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use dicom_store::ledger::Entry;
use dicom_store::{DamageQuery, DamagedInstance, Hidden, InstanceState, KeptAside, Order, Part, Recorded};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, answer, json_body};
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;

/// What is asked for by `POST /acts`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    act: Order,
    #[serde(default)]
    reason: String,
}

pub(super) async fn act(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let session = web.session(&parts);
    let Asked { act, reason } = json_body(&parts, body, MOST_BYTES, "an act").await?;
    let done = session.act(&act, &reason).await?;
    Ok(answer(&done.iter().map(entry).collect::<Vec<_>>()))
}

/// Bytes of a request, at the most.
pub(super) const MOST_BYTES: usize = 1 << 20;

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

pub(super) async fn acts(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
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
    Ok(answer(&found.iter().map(recorded).collect::<Vec<_>>()))
}

pub(crate) async fn deleted(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let session = web.session(&parts);
    let found = session.hidden(Page::of(&parts.uri)?.limit).await?;
    let row = |Hidden { study, series, instance, state, act }: &Hidden| {
        let state = if *state == InstanceState::Rejected { "rejected" } else { "deleted" };
        json!({ "study": study, "series": series, "instance": instance, "state": state, "act": act })
    };
    Ok(answer(&found.iter().map(row).collect::<Vec<_>>()))
}

pub(super) async fn damaged(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let Page { before, limit } = Page::of(&parts.uri)?;
    let found = web.session(&parts).damaged(&DamageQuery { of: None, before, limit }).await?;
    let row = |damaged: &DamagedInstance| {
        let mut row = json!({
            "place": damaged.place, "study": damaged.study, "series": damaged.series, "instance": damaged.instance,
            "pack": damaged.pack.to_string(), "reason": damaged.reason,
        });
        if let (Value::Object(fields), Some(since)) = (&mut row, damaged.since) {
            fields.insert("since".to_owned(), json!(since));
        }
        row
    };
    Ok(answer(&found.iter().map(row).collect::<Vec<_>>()))
}

pub(super) async fn quarantine(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let found = web.session(&parts).kept_aside(Page::of(&parts.uri)?.limit).await?;
    let row = |aside: &KeptAside| {
        json!({
            "study": aside.study, "series": aside.series, "instance": aside.instance, "digest": aside.digest,
            "sender": aside.sender, "received": aside.received, "length": aside.length,
            "can-be-shown": aside.can_be_shown,
        })
    };
    Ok(answer(&found.iter().map(row).collect::<Vec<_>>()))
}

pub(super) async fn audit(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let page = Page::of(&parts.uri)?;
    let found = web.session(&parts).audit(page.before, page.limit).await?;
    let rows = found.iter().map(|(place, row)| {
        json!({
            "place": place, "at": row.at, "actor": row.actor, "action": row.action, "what": row.what,
            "outcome": row.outcome,
        })
    });
    Ok(answer(&rows.collect::<Vec<_>>()))
}

fn entry(entry: &Entry) -> Value {
    json!({
        "number": entry.number, "at": entry.at, "author": entry.author, "reason": entry.reason, "act": entry.act,
    })
}
