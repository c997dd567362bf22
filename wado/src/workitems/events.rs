//! Reports of workitems over a WebSocket (PS3.18 §8.10, §11.13).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use dicom::dictionary_std::uids;
use dicom_store::StepReport;
use dicom_store::model::AeTitle;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::StatusCode;
use http::header::ORIGIN;
use http::request::Parts;
use serde_json::{Value, json};
use tokio::time::{Interval, interval, timeout};

use super::archive;
use crate::base_url::BaseUrl;
use crate::config::Config;
use crate::dicom_json;
use crate::error::Problem;
use crate::resource::Named;
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
    Named(aet): Named<String>,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let subscriber = AeTitle::parse(&aet)?;
    let reports = web.session(&parts).workitem_reports(&subscriber).await.map_err(archive)?;
    if !is_allowed_page(&parts, &web.config) {
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
    Ok(upgrade.on_upgrade(move |socket| async move {
        tell(socket, reports, interval(ASK)).await;
        drop(place);
    }))
}

/// A browser says whose page it is that connects; nothing else keeps a foreign one from listening.
fn is_allowed_page(parts: &Parts, config: &Config) -> bool {
    let Some(origin) = parts.headers.get(ORIGIN) else { return true };
    let is_listed = config.cors_origins.iter().any(|listed| listed.is_any() || listed.is(origin.as_bytes()));
    let origin = origin.to_str().unwrap_or_default();
    let is_own = |base: BaseUrl| base.is_origin(origin);
    is_listed || is_own(BaseUrl::of(parts, config)) || is_own(BaseUrl::asked(parts, config))
}

/// Hands on what comes, until the subscriber leaves, takes nothing, or says nothing from one ping to the next.
async fn tell(
    mut socket: impl Stream<Item = Result<Message, axum::Error>> + Sink<Message> + Unpin,
    reports: impl Stream<Item = StepReport>,
    mut ask: Interval,
) {
    let mut reports = std::pin::pin!(reports);
    let (mut number, mut is_silent) = (0_u16, false);
    loop {
        let message = tokio::select! {
            // What has come is heard before silence is judged.
            biased;
            received = socket.next() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    is_silent = false;
                    continue;
                }
            },
            _ = ask.tick() => {
                if std::mem::replace(&mut is_silent, true) {
                    return;
                }
                Message::Ping(bytes::Bytes::new())
            }
            report = reports.next() => match report {
                Some(report) => {
                    number = number.wrapping_add(1);
                    Message::Text(text(&report, number).into())
                }
                None => return,
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
    // In ascending order (PS3.18 §F.2.2).
    let mut fields: BTreeMap<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut put = |tag: &str, vr: &str, value: Value| {
        fields.insert(tag.to_owned(), json!({ "vr": vr, "Value": [value] }));
    };
    put("00000002", "UI", json!(uids::UNIFIED_PROCEDURE_STEP_EVENT));
    put("00000110", "US", json!(number));
    put("00001000", "UI", json!(report.workitem.as_str()));
    put("00001002", "US", json!(report.event.id()));
    serde_json::to_string(&fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use dicom::dictionary_std::tags;
    use dicom_store::StepEvent;
    use dicom_store::model::{Attributes, SopInstanceUid, VR};

    use super::*;

    /// Answers so many pings and says nothing any more; takes all that is sent.
    struct Subscriber {
        answers: usize,
        owed: usize,
        asked: usize,
        waiting: Option<Waker>,
    }

    impl Stream for Subscriber {
        type Item = Result<Message, axum::Error>;

        fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            if self.owed > 0 && self.answers > 0 {
                (self.owed, self.answers) = (self.owed - 1, self.answers - 1);
                return Poll::Ready(Some(Ok(Message::Pong(bytes::Bytes::new()))));
            }
            self.waiting = Some(context.waker().clone());
            Poll::Pending
        }
    }

    impl Sink<Message> for Subscriber {
        type Error = axum::Error;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), axum::Error> {
            assert!(matches!(message, Message::Ping(_)));
            (self.owed, self.asked) = (self.owed + 1, self.asked + 1);
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_report_is_in_the_order_of_its_tags() {
        let mut information = Attributes::new();
        information.put_text(tags::PROCEDURE_STEP_STATE, VR::CS, "SCHEDULED");
        let workitem = SopInstanceUid::parse("2.25.1").unwrap();
        let report = StepReport { workitem, event: StepEvent::StateReport, information };
        let told = text(&report, 7);
        let places = ["00000002", "00000110", "00001000", "00001002", "00741000"].map(|tag| told.find(tag));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{told}");
    }

    #[tokio::test]
    async fn who_does_not_answer_a_ping_is_let_go() {
        for answers in [0, 3] {
            let mut subscriber = Subscriber { answers, owed: 0, asked: 0, waiting: None };
            tell(&mut subscriber, futures_util::stream::pending(), interval(Duration::from_millis(2))).await;
            assert_eq!((subscriber.asked, subscriber.answers), (answers + 1, 0));
        }
    }
}
