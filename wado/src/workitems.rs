//! UPS-RS: workitems and who is told of them (PS3.18 §11; PS3.4 Annex CC).
//!
//! Declared: a request for cancellation of a workitem that nobody has claimed cancels it (PS3.4 §CC.2.2.3). Type 2
//! attributes that a creation leaves out are put in empty, with the `Warning` of that. Every attribute but the Transaction
//! UID is a matching and a return key. A completed or canceled workitem is kept for thirty days, longer under a deletion
//! lock. Reports are
//! kept for subscribers that are not connected, up to a thousand for a week, and come by whichever node they connect to;
//! one may come twice when a connection ends.

mod events;
mod request;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use dicom::dictionary_std::{tags, uids};
use dicom_store::model::{AeTitle, Level, SopInstanceUid, TransactionUid};
use dicom_store::{Filter, Reached, StepRefusal, StepState, Subscription};
use futures_util::StreamExt;
use http::header::{CONTENT_LOCATION, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::accept::Category;
use crate::base_url::BaseUrl;
use crate::error::{Problem, warn};
use crate::parameters::Parameters;
use crate::resource::Named;
use crate::search::{Answer, OFFERS, Search, SearchRequest};
use crate::state::Web;

use request::{Payload, payload};

/// The routes of the worklist service.
pub(crate) fn router() -> Router<Web> {
    Router::new()
        .route("/workitems", get(search).post(create))
        .route("/workitems/{workitem}", get(retrieve).post(update))
        .route("/workitems/{workitem}/state", put(change_state))
        .route("/workitems/{workitem}/cancelrequest", post(request_cancellation))
        .route("/workitems/{workitem}/subscribers/{aet}", post(subscribe).delete(unsubscribe))
        .route("/workitems/{workitem}/subscribers/{aet}/suspend", post(suspend))
        .route("/subscribers/{aet}", get(events::connect))
}

/// An answer or a refusal with what its `Warning` says.
struct Told {
    status: StatusCode,
    warning: Option<String>,
    fields: Vec<(HeaderName, String)>,
}

impl Told {
    fn new(status: StatusCode) -> Self {
        Self { status, warning: None, fields: Vec::new() }
    }

    fn warning(self, text: impl Into<String>) -> Self {
        Self { warning: Some(text.into()), ..self }
    }

    fn field(mut self, name: HeaderName, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    fn into_response(self, base: &BaseUrl) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in self.fields {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        if let Some(text) = self.warning {
            warn(&mut response, base, &text);
        }
        response
    }
}

/// What is being asked for: each refuses in words of its own (PS3.18 Tables 11.4.3-1 to 11.12.3-1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Update,
    State,
    Other,
}

/// Status and `Warning` of a refusal.
fn refused(refusal: StepRefusal, asked: Asked, base: &BaseUrl) -> Response {
    let inconsistent = match asked {
        Asked::State => "The submitted request is inconsistent with the state of the UPS Instance.",
        Asked::Update | Asked::Other => {
            "The submitted request is inconsistent with the current state of the Workitem."
        }
    };
    let (status, warning) = match &refusal {
        StepRefusal::Archive(_) => return Problem::from(archive(refusal)).into_response(),
        StepRefusal::Unknown | StepRefusal::NotSubscribed => (StatusCode::NOT_FOUND, None),
        StepRefusal::Exists => (StatusCode::CONFLICT, None),
        StepRefusal::Invalid(_) => (StatusCode::BAD_REQUEST, None),
        StepRefusal::TransactionMissing if asked == Asked::State => {
            (StatusCode::BAD_REQUEST, Some("The Transaction UID is missing."))
        }
        StepRefusal::TransactionIncorrect if asked == Asked::State => {
            (StatusCode::BAD_REQUEST, Some("The Transaction UID is incorrect."))
        }
        StepRefusal::TransactionMissing | StepRefusal::TransactionIncorrect => {
            (StatusCode::BAD_REQUEST, Some(inconsistent))
        }
        StepRefusal::NotClaimed => {
            (StatusCode::CONFLICT, Some("The target URI did not reference a claimed Workitem."))
        }
        // PS3.18 §11.6.2.
        StepRefusal::Final(_) if asked == Asked::Update => (StatusCode::BAD_REQUEST, Some(inconsistent)),
        StepRefusal::Final(_) | StepRefusal::Transition(..) | StepRefusal::Unfinished(_) => {
            (StatusCode::CONFLICT, Some(inconsistent))
        }
    };
    let mut response = Problem::new(status, refusal.to_string()).into_response();
    if let Some(text) = warning {
        warn(&mut response, base, text);
    }
    response
}

/// What the archive says, which is refused as everywhere.
fn archive(refusal: StepRefusal) -> dicom_store::Error {
    match refusal {
        StepRefusal::Archive(error) => error,
        other => dicom_store::Error::internal(other.to_string()),
    }
}

fn workitem_uid(text: &str) -> Result<SopInstanceUid, Problem> {
    Ok(SopInstanceUid::parse(text)?)
}

/// The Transaction UID of a request, where it has one.
fn transaction_uid(said: Option<String>) -> Result<Option<String>, Problem> {
    let said = said.filter(|uid| !uid.is_empty());
    Ok(said.map(|uid| TransactionUid::parse(&uid)).transpose()?.map(String::from))
}

/// A value of the query that may stand alone, as the URI templates of PS3.18 §11 have it: `?1.2.3`, `?name=1.2.3`.
fn alone(parameters: &Parameters, names: &[&str]) -> Option<String> {
    let named = names.iter().find_map(|name| parameters.get(name));
    let is_uid = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let bare =
        || parameters.iter().find(|(name, value)| value.is_empty() && is_uid(name)).map(|(name, _)| name);
    named.or_else(bare).map(str::to_owned)
}

async fn create(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let Payload { attributes, affected } = payload(&parts, body).await?;
    let parameters = Parameters::of(&parts.uri);
    let in_query = alone(&parameters, &["workitem", "AffectedSOPInstanceUID"]);
    let said = [in_query, affected, attributes.text(tags::SOP_INSTANCE_UID)];
    let mut said = said.into_iter().flatten().filter(|uid| !uid.is_empty());
    let uid = said
        .next()
        .ok_or_else(|| Problem::invalid("the workitem has no UID, in the query or in its data set"))?;
    if let Some(other) = said.find(|other| *other != uid) {
        return Err(Problem::invalid(format!("the workitem is said to be {uid} and {other}")));
    }
    let uid = workitem_uid(&uid)?;
    Ok(match session.create_workitem(&uid, attributes).await {
        Ok(was_completed) => {
            let url = format!("{base}/workitems/{uid}");
            let told =
                Told::new(StatusCode::CREATED).field(LOCATION, url.clone()).field(CONTENT_LOCATION, url);
            let told = if was_completed {
                told.warning("The Workitem was created with modifications.")
            } else {
                told
            };
            told.into_response(&base)
        }
        Err(refusal) => refused(refusal, Asked::Other, &base),
    })
}

async fn retrieve(Named(uid): Named<String>, request: SearchRequest) -> Result<Response, Problem> {
    let SearchRequest { session, accepts, base, .. } = request;
    let mut answer = Answer::new(accepts.best(Category::Dicom, OFFERS)?);
    let uid = workitem_uid(&uid)?;
    match session.workitem(&uid).await {
        Ok(workitem) => answer.add(&workitem.attributes),
        Err(refusal) => return Ok(refused(refusal, Asked::Other, &base)),
    }
    let mut response = answer.finish();
    if let Ok(url) = HeaderValue::from_str(&format!("{base}/workitems/{uid}")) {
        response.headers_mut().insert(CONTENT_LOCATION, url);
    }
    Ok(response)
}

async fn update(
    State(web): State<Web>,
    Named(uid): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let Payload { attributes, .. } = payload(&parts, body).await?;
    let in_query = alone(&Parameters::of(&parts.uri), &["transaction-uid", "transaction", "TransactionUID"]);
    let transaction = transaction_uid(in_query.or_else(|| attributes.text(tags::TRANSACTION_UID)))?;
    let updated = session.update_workitem(&workitem_uid(&uid)?, &attributes, transaction.as_deref()).await;
    Ok(match updated {
        Ok(()) => Told::new(StatusCode::OK).into_response(&base),
        Err(refusal) => refused(refusal, Asked::Update, &base),
    })
}

async fn change_state(
    State(web): State<Web>,
    Named(uid): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let Payload { attributes, .. } = payload(&parts, body).await?;
    let term = attributes.text(tags::PROCEDURE_STEP_STATE).unwrap_or_default();
    let to = StepState::of(&term).filter(|state| *state != StepState::Scheduled);
    let to = to.ok_or_else(|| {
        Problem::invalid("Procedure Step State (0074,1000) is none of IN PROGRESS, COMPLETED and CANCELED")
    })?;
    let transaction = transaction_uid(attributes.text(tags::TRANSACTION_UID))?;
    Ok(match session.change_workitem_state(&workitem_uid(&uid)?, to, transaction.as_deref()).await {
        Ok(Reached::Now) => Told::new(StatusCode::OK).into_response(&base),
        Ok(Reached::Before) => already(StatusCode::OK, to).into_response(&base),
        Err(refusal) => refused(refusal, Asked::State, &base),
    })
}

fn already(status: StatusCode, state: StepState) -> Told {
    Told::new(status).warning(format!("The UPS is already in the requested state of {}.", state.term()))
}

async fn request_cancellation(
    State(web): State<Web>,
    Named(uid): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let asked = request::optional_payload(&parts, body).await?;
    // The web has no AE title for whoever asks.
    let asking = session.request_workitem_cancellation(&workitem_uid(&uid)?, &asked, "WEB").await;
    Ok(match asking {
        Ok(Reached::Now) => Told::new(StatusCode::ACCEPTED).into_response(&base),
        Ok(Reached::Before) => already(StatusCode::ACCEPTED, StepState::Canceled).into_response(&base),
        Err(refusal) => refused(refusal, Asked::Other, &base),
    })
}

async fn search(State(web): State<Web>, request: SearchRequest) -> Result<Response, Problem> {
    let SearchRequest { session, accepts, base, target, parameters } = request;
    let mut answer = Answer::new(accepts.best(Category::Dicom, OFFERS)?);
    let Search { mut query, limit, mut warnings, .. } = Search::read(Level::Instance, &target, &parameters)?;
    let limit = limit.unwrap_or(u64::MAX).min(web.config.max_results.get());
    query.page.limit = None;
    let mut found = session.find_workitems(&query).await.map_err(archive)?;
    let mut remaining: u64 = 0;
    while let Some(workitem) = found.next().await {
        let workitem = workitem.map_err(archive)?;
        if answer.count() < limit {
            answer.add(&workitem.attributes);
        } else {
            remaining += 1;
        }
    }
    if remaining > 0 {
        warnings.push(format!("There are {remaining} additional results that can be requested"));
    }
    let mut response = answer.finish();
    for text in warnings {
        warn(&mut response, &base, &text);
    }
    Ok(response)
}

/// A segment of a path (RFC 3986 §3.3): AE titles may have blanks and almost any other character.
fn encoded(segment: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    segment
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What a path subscribes to; the filter is in the query.
fn subscription(workitem: &str, filter: Option<Filter>) -> Result<Subscription, Problem> {
    match (workitem, filter) {
        (uids::UPS_GLOBAL_SUBSCRIPTION_INSTANCE, _) => Ok(Subscription::Worklist),
        (uids::UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE, Some(filter)) => Ok(Subscription::Filtered(filter)),
        (uids::UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE, None) => {
            Err(Problem::invalid("a filtered subscription needs a filter: ?filter=attribute=value,…"))
        }
        (workitem, _) => Ok(Subscription::Workitem(workitem_uid(workitem)?)),
    }
}

async fn subscribe(
    State(web): State<Web>,
    Named((workitem, aet)): Named<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let parameters = Parameters::of(&parts.uri);
    let lock = match parameters.get("deletionlock") {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(_) => return Err(Problem::invalid("deletionlock is true or false")),
    };
    let filter = parameters.get("filter").map(request::filter).transpose()?;
    let (to, aet) = (subscription(&workitem, filter)?, AeTitle::parse(&aet)?);
    Ok(match session.subscribe(&to, &aet, lock).await {
        Ok(()) => {
            let aet = encoded(aet.as_str());
            let url = format!("{base}/subscribers/{aet}").replacen("http", "ws", 1);
            Told::new(StatusCode::CREATED).field(CONTENT_LOCATION, url).into_response(&base)
        }
        Err(refusal) => refused(refusal, Asked::Other, &base),
    })
}

/// The subscription that is ended, and whether it is the filtered one: it is ended whatever its filters are.
fn ended(workitem: &str) -> Result<(Subscription, bool), Problem> {
    if workitem == uids::UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE {
        return Ok((Subscription::Worklist, true));
    }
    Ok((subscription(workitem, None)?, false))
}

async fn unsubscribe(
    State(web): State<Web>,
    Named((workitem, aet)): Named<(String, String)>,
    parts: Parts,
) -> Result<Response, Problem> {
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let (from, _) = ended(&workitem)?;
    Ok(match session.unsubscribe(&from, &AeTitle::parse(&aet)?).await {
        Ok(()) => Told::new(StatusCode::OK).into_response(&base),
        Err(refusal) => refused(refusal, Asked::Other, &base),
    })
}

async fn suspend(
    State(web): State<Web>,
    Named((workitem, aet)): Named<(String, String)>,
    parts: Parts,
) -> Result<Response, Problem> {
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let (from, is_filtered) = ended(&workitem)?;
    if matches!(from, Subscription::Workitem(_)) {
        return Err(Problem::invalid("only a subscription to the worklist can be suspended"));
    }
    Ok(match session.suspend(&AeTitle::parse(&aet)?, is_filtered).await {
        Ok(()) => Told::new(StatusCode::OK).into_response(&base),
        Err(refusal) => refused(refusal, Asked::Other, &base),
    })
}
