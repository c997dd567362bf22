//! Retrieve Capabilities (PS3.18 §8.9, Annex H): what this service can do, as WADL in XML or JSON.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};

use crate::accept::{
    Category, DICOM, DICOM_JSON, DICOM_XML, GIF, JPEG, JSON, OCTET_STREAM, Offer, PNG, WEBP, ZIP,
};
use crate::error::Problem;
use crate::negotiation;
use crate::parameters::Parameters;
use crate::state::Web;

const WADL: &str = "application/vnd.sun.wadl+xml";
const OFFERS: &[Offer] = &[Offer::single(WADL), Offer::single("application/xml"), Offer::single(JSON)];

/// A kind of resource: its path templates, its method, the media types of its answers.
struct Capability {
    method: &'static str,
    name: &'static str,
    paths: &'static [&'static str],
    answers: &'static [&'static str],
}

const CAPABILITIES: &[Capability] = &[
    Capability {
        method: "GET",
        name: "Search",
        paths: &[
            "studies",
            "series",
            "instances",
            "studies/{study}/series",
            "studies/{study}/instances",
            "studies/{study}/series/{series}/instances",
        ],
        answers: &[DICOM_JSON, DICOM_XML],
    },
    Capability {
        method: "GET",
        name: "Retrieve",
        paths: &[
            "studies/{study}",
            "studies/{study}/series/{series}",
            "studies/{study}/series/{series}/instances/{instance}",
        ],
        answers: &[DICOM, OCTET_STREAM, ZIP],
    },
    Capability {
        method: "GET",
        name: "RetrieveMetadata",
        paths: &[
            "studies/{study}/metadata",
            "studies/{study}/series/{series}/metadata",
            "studies/{study}/series/{series}/instances/{instance}/metadata",
        ],
        answers: &[DICOM_JSON, DICOM_XML],
    },
    Capability {
        method: "GET",
        name: "RetrieveRendered",
        paths: &[
            "studies/{study}/rendered",
            "studies/{study}/series/{series}/rendered",
            "studies/{study}/series/{series}/instances/{instance}/rendered",
            "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
        ],
        answers: &[JPEG, PNG, GIF, WEBP],
    },
    Capability {
        method: "GET",
        name: "RetrieveThumbnail",
        paths: &[
            "studies/{study}/thumbnail",
            "studies/{study}/series/{series}/thumbnail",
            "studies/{study}/series/{series}/instances/{instance}/thumbnail",
            "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
        ],
        answers: &[JPEG],
    },
    Capability {
        method: "GET",
        name: "RetrieveBulkData",
        paths: &[
            "studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
            "studies/{study}/series/{series}/instances/{instance}/bulkdata/{attribute}",
        ],
        answers: &[OCTET_STREAM],
    },
    Capability {
        method: "DELETE",
        name: "Delete",
        paths: &[
            "studies/{study}",
            "studies/{study}/series/{series}",
            "studies/{study}/series/{series}/instances/{instance}",
        ],
        answers: &[],
    },
    Capability {
        method: "POST",
        name: "Store",
        paths: &["studies", "studies/{study}"],
        answers: &[DICOM_JSON, DICOM_XML],
    },
];

/// Answers every OPTIONS request; preflights were answered before.
pub(crate) async fn answer(State(web): State<Web>, request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    let parameters = Parameters::of(request.uri());
    let accepts = negotiation::accepts_or_anything(request.headers(), &parameters);
    match accepts.best(Category::Any, OFFERS) {
        Ok(offer) => {
            let text = if offer.media == JSON { as_json(&web.config.path) } else { as_xml(&web.config.path) };
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(offer.media));
            response
        }
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

fn as_xml(base: &str) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <application xmlns=\"http://wadl.dev.java.net/2009/02\">\n <resources base=\"{base}\">\n"
    );
    for capability in CAPABILITIES {
        for path in capability.paths {
            text.push_str(&format!(
                "  <resource path=\"{path}\">\n   <method name=\"{}\" id=\"{}\">\n    <response status=\"200\">\n",
                capability.method, capability.name
            ));
            for answer in capability.answers {
                text.push_str(&format!("     <representation mediaType=\"{answer}\"/>\n"));
            }
            text.push_str("    </response>\n   </method>\n  </resource>\n");
        }
    }
    text.push_str(" </resources>\n</application>\n");
    text
}

fn as_json(base: &str) -> String {
    let resources: Vec<_> = CAPABILITIES
        .iter()
        .flat_map(|capability| capability.paths.iter().map(move |path| (capability, path)))
        .map(|(capability, path)| {
            let representations: Vec<_> =
                capability.answers.iter().map(|answer| serde_json::json!({ "@mediaType": answer })).collect();
            serde_json::json!({
                "@path": path,
                "method": {
                    "@name": capability.method,
                    "@id": capability.name,
                    "response": { "@status": "200", "representation": representations },
                },
            })
        })
        .collect();
    serde_json::json!({ "application": { "resources": { "@base": base, "resource": resources } } })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_resource_in_both_forms() {
        let xml = as_xml("/dicom-web");
        let json = as_json("/dicom-web");
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        for path in CAPABILITIES.iter().flat_map(|capability| capability.paths) {
            assert!(xml.contains(&format!("\"{path}\"")) && json.contains(&format!("\"{path}\"")), "{path}");
        }
    }
}
