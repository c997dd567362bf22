//! WADO-URI (PS3.18 §9): one instance by query parameters, as it is or rendered.
//!
//! A translation: the parameters become the resource, the accepted media types and the rendering parameters of
//! WADO-RS, and the same functions answer. Declared: a rendered instance of several frames shows its first frame
//! unless `frameNumber` says otherwise, all of them as GIF; `anonymize` is refused (400).

mod request;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dicom_store::model::FrameNumber;
use http::StatusCode;
use http::request::Parts;

use crate::api::not_allowed;
use crate::error::Problem;
use crate::retrieve::rendered::{offers, rendered};
use crate::retrieve::{self, instance::instances, presentation_state};
use crate::state::Web;
use crate::{auth, cors, gone, precondition, unread};

use request::{Asked, Form};

/// The service at `/wado`, to be merged into the routes of the server.
pub fn uri_router(web: Web) -> Router {
    Router::new()
        .route("/wado", get(wado))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(precondition::check))
        .layer(from_fn_with_state(web.clone(), auth::challenge))
        .layer(from_fn_with_state(web.clone(), cors::allow))
        .layer(from_fn(unread::drain))
        .with_state(web)
}

async fn wado(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let asked = Asked::read(&parts.headers, &parts.uri)?;
    let (session, named) = (web.session(&parts), asked.target.resource()?);
    match answer(&web, parts, asked).await {
        Err(problem) if problem.status == StatusCode::NOT_FOUND => {
            Ok(gone::instead(&session, &named, problem.into_response()).await)
        }
        answered => answered,
    }
}

async fn answer(web: &Web, mut parts: Parts, asked: Asked) -> Result<Response, Problem> {
    let retrieval = retrieve::Retrieval::of(&mut parts, web, asked.target, asked.accepts, asked.parameters);
    match asked.form {
        Form::Instance => instances(retrieval).await,
        Form::Presented { state, frame } => {
            let (image, state) = (retrieval.described().await?.instance, retrieval.instance_of(state).await?);
            let number = frame.unwrap_or(FrameNumber::FIRST);
            if number.get() > image.frames {
                return Err(Problem::invalid("frameNumber names no frame of the image"));
            }
            let offers = offers(&retrieval, true);
            presentation_state::one(&retrieval, &state, &image, number, &offers).await
        }
        Form::Rendered { frame, region } => {
            let instance = retrieval.described().await?.instance;
            let retrieval = match frame {
                Some(number) if instance.frames > 1 && number.get() <= instance.frames => {
                    retrieval.of_frame(number)
                }
                Some(_) => return Err(Problem::invalid("frameNumber names no frame of a multi-frame image")),
                None => retrieval,
            };
            match region {
                Some(_) if presentation_state::is_state(&instance) => {
                    Err(Problem::invalid("a presentation state has its own area: region is not for it"))
                }
                Some(region) => rendered(region.apply(retrieval, &instance).await?).await,
                None => rendered(retrieval).await,
            }
        }
    }
}
