//! A slash at the end of a path, which PS3.18 does not have and some clients send.

use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{Request, Uri};

/// The request for the same resource without it. One is taken off, and none of a path that has nothing before it.
pub(super) fn without(mut request: Request<Body>) -> Request<Body> {
    if let Some(uri) = shortened(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn shortened(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty() && !path.ends_with('/'))?;
    let path = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_is_taken_off() {
        for (asked, expected) in [
            ("/dicom-web/studies/", "/dicom-web/studies"),
            ("/dicom-web/studies/1.2/series/?limit=1", "/dicom-web/studies/1.2/series?limit=1"),
            ("http://pacs/wado/?requestType=WADO", "http://pacs/wado?requestType=WADO"),
            ("/dicom-web/", "/dicom-web"),
        ] {
            let shortened = shortened(&asked.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(shortened.as_deref(), Some(expected), "{asked}");
        }
    }

    #[test]
    fn no_path_becomes_another_resource() {
        for asked in ["/", "//", "/dicom-web/studies//", "/dicom-web//studies", "/dicom-web/studies", "*"] {
            assert_eq!(shortened(&asked.parse().unwrap()), None, "{asked}");
        }
    }
}
