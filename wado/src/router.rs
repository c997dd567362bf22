//! Paths → handlers (PS3.18 Tables 10.3-1, 10.4.1-1, 10.5.1-1, 10.6.1-1, 11.3-1).

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::accept::media_type;
use crate::api::not_allowed;
use crate::error::Problem;
use crate::negotiation::content_type;
use crate::retrieve::bulk_data::{bulk_data, pixel_data};
use crate::retrieve::{bulk::bulk, frames::frames, instance::instances, metadata::metadata};
use crate::retrieve::{rendered::rendered, thumbnail::thumbnail};
use crate::state::Web;
use crate::{auth, capabilities, cors, gone, precondition, rejection, search, store, unread, workitems};

/// Text shorter than this is sent as it is.
const WORTH_COMPRESSING: u16 = 1024;

/// Where the service is, below the root of the server, without a slash at its end.
pub const PATH: &str = "/dicom-web";

/// The service, to be mounted at [`PATH`].
pub fn router(web: Web) -> Router {
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(WORTH_COMPRESSING).and(is_text));
    Router::new()
        .route("/studies", get(search::studies).post(store::store))
        .route("/series", get(search::series))
        .route("/instances", get(search::instances))
        .merge(study().merge(series()).merge(instance()).layer(from_fn_with_state(web.clone(), gone::told)))
        .merge(workitems::router())
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(precondition::check))
        .layer(from_fn_with_state(web.clone(), capabilities::answer))
        .layer(from_fn_with_state(web.clone(), auth::challenge))
        .layer(from_fn_with_state(web.clone(), cors::allow))
        .layer(from_fn(unread::drain))
        .layer(compression)
        .with_state(web)
}

fn study() -> Router<Web> {
    Router::new()
        .route("/studies/{study}", get(instances).post(store::store).delete(rejection::delete))
        .route("/studies/{study}/metadata", get(metadata))
        .route("/studies/{study}/bulkdata", get(bulk_data))
        .route("/studies/{study}/pixeldata", get(pixel_data))
        .route("/studies/{study}/rendered", get(rendered))
        .route("/studies/{study}/thumbnail", get(thumbnail))
        .route("/studies/{study}/series", get(search::series))
        .route("/studies/{study}/instances", get(search::instances))
}

fn series() -> Router<Web> {
    let routes = Router::new()
        .route("/", get(instances).delete(rejection::delete))
        .route("/metadata", get(metadata))
        .route("/bulkdata", get(bulk_data))
        .route("/pixeldata", get(pixel_data))
        .route("/rendered", get(rendered))
        .route("/thumbnail", get(thumbnail))
        .route("/instances", get(search::instances));
    Router::new().nest("/studies/{study}/series/{series}", routes)
}

fn instance() -> Router<Web> {
    let routes = Router::new()
        .route("/", get(instances).delete(rejection::delete))
        .route("/metadata", get(metadata))
        .route("/bulkdata", get(bulk_data))
        .route("/pixeldata", get(pixel_data))
        .route("/rendered", get(rendered))
        .route("/thumbnail", get(thumbnail))
        .route("/frames/{frames}", get(frames))
        .route("/frames/{frames}/rendered", get(rendered))
        .route("/frames/{frames}/thumbnail", get(thumbnail))
        .route("/bulkdata/{*bulk}", get(bulk));
    Router::new().nest("/studies/{study}/series/{series}/instances/{instance}", routes)
}

async fn unknown(request: Request) -> Problem {
    Problem::not_found(format!("DICOMweb has no resource at {}", request.uri().path()))
}

/// JSON and XML shrink to a tenth, in parts as well; pixels do not.
fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    is_compressed(content_type(headers))
}

/// Whether bodies of that media type come compressed to who takes that: that of the parts, where there are some.
pub(crate) fn is_compressed(content_type: &str) -> bool {
    let (media, parameters) = media_type(content_type);
    let root = parameters.iter().find(|(name, _)| media == "multipart/related" && name == "type");
    let media = root.map_or(media, |(_, root)| root.to_ascii_lowercase());
    media.ends_with("json") || media.ends_with("xml") || media.starts_with("text/")
}
