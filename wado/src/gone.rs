//! What is not there any more is told from what never was.
//!
//! What was deleted and can be restored is 410 to whoever would retrieve it, and not 404 (PS3.18 §8.5). What was rejected
//! is as if it had never come (IHE RAD TF-2 §4.66), and so is what was destroyed, or has left the packs since.
//!
//! What is damaged is not given out until it is sent again. Asked for by itself it is 500 with what is wrong; a study or
//! series of which some is damaged is given without it, and names it in a Warning (PS3.18 §8.4.4). 206 would say that
//! another request could have the rest.
//!
//! All of it is told only to those who may retrieve what there is.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dicom_store::model::Resource;
use dicom_store::{DamagedInstance, Session};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};

use crate::base_url::BaseUrl;
use crate::error::{Problem, warn};
use crate::resource::Target;
use crate::state::Web;

/// Damaged instances that a sentence names, at the most.
const NAMED: usize = 20;

/// Looks at the answers of the routes that name a study, a series or an instance.
pub(crate) async fn told(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_retrieval = parts.method == Method::GET || parts.method == Method::HEAD;
    let target = Target::from_request_parts(&mut parts, &web).await;
    let asked = target.and_then(|target| target.resource()).ok().filter(|_| is_retrieval);
    // A search tells what is shown, and of nothing else.
    let is_search = parts.uri.path().ends_with("/series") || parts.uri.path().ends_with("/instances");
    let (session, base) = (web.session(&parts), BaseUrl::of(&parts, &web.config));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let Some(asked) = asked else { return response };
    let status = response.status();
    let is_given = status.is_success() || status == StatusCode::NOT_MODIFIED;
    if status == StatusCode::NOT_FOUND {
        return instead(&session, &asked, response).await;
    }
    if is_given && !is_search && !matches!(asked, Resource::Instance(..)) {
        let damaged = session.damaged_of(&asked).await.unwrap_or_default();
        if !damaged.is_empty() {
            let what = format!("of {asked} instances are damaged and missing here: {}", names(&damaged));
            warn(&mut response, &base, &what);
        }
    }
    response
}

/// What is the truth in the place of a 404: 410, or 500 for what is damaged.
pub(crate) async fn instead(session: &Session, asked: &Resource, not_found: Response) -> Response {
    let damaged = session.damaged_of(asked).await.unwrap_or_default();
    let problem = if let [first, ..] = damaged.as_slice() {
        let what = match asked {
            Resource::Instance(..) => format!("{asked} is damaged ({})", first.reason),
            _ => format!("all of {asked} is damaged: {}", names(&damaged)),
        };
        let what = format!("{what}; it is given out again when it was sent again");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what)
    } else if let Ok(true) = session.is_deleted(asked).await {
        let what = format!("{asked} was deleted; an operator can restore it");
        Problem::new(StatusCode::GONE, what)
    } else {
        return not_found;
    };
    let mut response = problem.into_response();
    // It may be there again at any time.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn names(damaged: &[DamagedInstance]) -> String {
    let mut names: Vec<&str> = damaged.iter().take(NAMED).map(|damaged| damaged.instance.as_str()).collect();
    let more = format!("and {} more", damaged.len() - names.len());
    if damaged.len() > NAMED {
        names.push(&more);
    }
    names.join(", ")
}
