//! Reports of workitems over a WebSocket (PS3.18 §8.10, §11.13).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use dicom::dictionary_std::uids;
use dicom_store::StepReport;
use dicom_store::model::AeTitle;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{interval, timeout};

use super::archive;
use crate::dicom_json;
use crate::error::Problem;
use crate::state::Web;

/// How often a subscriber is asked whether it is there.
const ASK: Duration = Duration::from_secs(30);
/// One that takes nothing for so long is let go.
const STALL: Duration = Duration::from_secs(20);
/// Subscribers send nothing but answers to being asked.
const MOST_BYTES: usize = 4096;

/// `/subscribers/{aet}`: Open Notification Connection.
pub(super) async fn connect(
    State(web): State<Web>,
    Path(aet): Path<String>,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let subscriber = AeTitle::parse(&aet)?;
    let reports = web.session(&parts).workitem_reports(&subscriber).await.map_err(archive)?;
    if !is_own_page(&parts, &web.config.cors_origins) {
        return Err(Problem::forbidden("a page of another origin may not listen"));
    }
    let upgrade = upgrade.map_err(|rejection| {
        let what = format!("reports come over a WebSocket (RFC 6455): {}", rejection.body_text());
        Problem::new(StatusCode::BAD_REQUEST, what)
    })?;
    let place: Arc<_> = web.listeners.clone();
    let place = place.try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "as many listen as may; try again later")
    })?;
    let upgrade = upgrade.max_message_size(MOST_BYTES).max_frame_size(MOST_BYTES);
    Ok(upgrade.on_upgrade(move |socket| tell(socket, reports, place)))
}

/// A browser says whose page it is that connects; nothing else keeps a foreign one from listening.
fn is_own_page(parts: &Parts, allowed: &[String]) -> bool {
    let Some(origin) = parts.headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_same = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    is_same || allowed.iter().any(|listed| listed == origin || listed == "*")
}

/// Hands on what comes, until the subscriber leaves or takes nothing.
async fn tell(
    mut socket: WebSocket,
    reports: impl Stream<Item = StepReport> + Send,
    _place: OwnedSemaphorePermit,
) {
    let mut reports = std::pin::pin!(reports);
    let (mut ask, mut number) = (interval(ASK), 0_u16);
    loop {
        let message = tokio::select! {
            report = reports.next() => match report {
                Some(report) => {
                    number = number.wrapping_add(1);
                    Message::Text(text(&report, number).into())
                }
                None => return,
            },
            _ = ask.tick() => Message::Ping(bytes::Bytes::new()),
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if !matches!(timeout(STALL, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// A data set with what an N-EVENT-REPORT has in its command (PS3.7 Table 10.3-1).
fn text(report: &StepReport, number: u16) -> String {
    let mut bytes = Vec::new();
    dicom_json::write(&report.information, None, &mut bytes);
    let mut fields: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut put = |tag: &str, vr: &str, value: Value| {
        fields.insert(tag.to_owned(), json!({ "vr": vr, "Value": [value] }));
    };
    put("00000002", "UI", json!(uids::UNIFIED_PROCEDURE_STEP_EVENT));
    put("00000110", "US", json!(number));
    put("00001000", "UI", json!(report.workitem.as_str()));
    put("00001002", "US", json!(report.event.id()));
    Value::Object(fields).to_string()
}
