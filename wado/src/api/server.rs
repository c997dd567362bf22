//! What this server is: for whoever opens a page, and for whoever sets up another system.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use dicom_store::{Query, model::Level};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Api, MOST_ROWS, ROWS, acts, no_store};
use crate::capabilities;
use crate::error::Problem;
use crate::router::PATH;

/// What the program says of itself.
#[derive(Debug, Clone)]
pub struct About {
    pub version: &'static str,
    /// Our AE title, which devices have to be told.
    pub ae_title: String,
    /// An instance has so many bytes at the most.
    pub max_instance_bytes: u64,
}

/// What a page has to know before anything else.
#[derive(Serialize)]
pub(super) struct Status {
    /// No sign-in: the viewer says so in a banner.
    open: bool,
    version: &'static str,
}

pub(super) async fn status(State(api): State<Api>) -> Json<Status> {
    Json(Status { open: api.web.config.open, version: api.about.version })
}

pub(super) async fn server(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    // Whoever may not search hears nothing of the server either.
    let mut any = Query::new(Level::Study);
    any.page.limit = Some(0);
    api.web.session(&parts).search(&any).await?;
    let troubles: Vec<String> = api.web.archive.troubles().await.iter().map(ToString::to_string).collect();
    let config = &api.web.config;
    let resources: Vec<Value> = capabilities::CAPABILITIES
        .iter()
        .map(|capability| {
            let media: Vec<&str> = capability
                .operation
                .answers
                .iter()
                .flat_map(|answer| answer.media.iter().map(|media| media.name))
                .collect();
            let operation = &capability.operation;
            json!({ "name": operation.id, "method": operation.method, "paths": capability.paths, "media-types": media })
        })
        .collect();
    let about = json!({
        "version": api.about.version,
        "open": config.open,
        "ae-title": api.about.ae_title,
        "ready": troubles.is_empty(),
        "troubles": troubles,
        "dicomweb": { "path": PATH, "resources": resources },
        "limits": {
            "results": config.max_results,
            "rows": ROWS,
            "most-rows": MOST_ROWS,
            "act-bytes": acts::MOST_BYTES,
            "instance-bytes": api.about.max_instance_bytes,
        },
    });
    let mut response = Response::new(about.to_string().into());
    no_store(&mut response);
    Ok(response)
}
