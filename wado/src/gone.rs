//! What was deleted and can be restored is 410 to whoever would retrieve it, and not 404 (PS3.18 §8.5).
//!
//! Asked where nothing was found, and told only to those who may retrieve what there is. What was rejected is as if it had
//! never come (IHE RAD TF-2 §4.66), and so is what was destroyed, or has left the packs since.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dicom_store::Session;
use dicom_store::model::Resource;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};

use crate::error::Problem;
use crate::resource::Target;
use crate::state::Web;

/// Looks at the answers of the routes that name a study, a series or an instance.
pub(crate) async fn told(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_retrieval = parts.method == Method::GET || parts.method == Method::HEAD;
    let target = Target::from_request_parts(&mut parts, &web).await;
    let asked = target.and_then(|target| target.resource()).ok().filter(|_| is_retrieval);
    let session = web.session(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    match asked {
        Some(asked) if response.status() == StatusCode::NOT_FOUND => {
            instead(&session, &asked, response).await
        }
        _ => response,
    }
}

/// 410 in the place of a 404, where that is the truth.
pub(crate) async fn instead(session: &Session, asked: &Resource, not_found: Response) -> Response {
    match session.is_deleted(asked).await {
        Ok(true) => {
            let what = format!("{asked} was deleted; an operator can restore it");
            let mut response = Problem::new(StatusCode::GONE, what).into_response();
            // It may be there again at any time.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        _ => not_found,
    }
}
