//! The viewer's static files: `/`, `/viewer` and what they load, with the headers that caching and safety want.
//!
//! `npm run build` writes `dist/` next to this file: `index.html`, `favicon.svg`, `licences.txt` and `assets/` with a
//! hash in every name, each with a `.br` sibling where that is smaller. With the feature `embed` the folder is part of the binary,
//! otherwise it is read when asked for. Both the plain file and its brotli copy are kept: browsers ask for brotli only
//! over TLS and on the same machine, and a hospital's plain HTTP behind a proxy is served without unpacking anything.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Scripts of our own and WebAssembly for the codecs; images from memory; nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// A name with a hash never means other bytes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Kept, but asked about each time by its ETag.
const REVALIDATED: &str = "no-cache";

const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>filmless</title>\
     <p>The viewer is not built. Run <code>make viewer</code>, then load this page again.\
     <p lang=\"vi\">Giao diện chưa được biên dịch. Hãy chạy <code>make viewer</code>, rồi tải lại trang này.";

/// Routes of the pages and of the files they load; mounted at the root of the server.
pub fn router() -> Router {
    routes(Files::built())
}

fn routes(files: Files) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/viewer", get(page))
        .route("/favicon.svg", get(icon))
        .route("/licences.txt", get(licences))
        .route("/assets/{*name}", get(asset))
        .with_state(files)
}

async fn page(State(files): State<Files>, request: HeaderMap) -> Response {
    match files.serve("index.html", REVALIDATED, &request) {
        Some(response) => response,
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "text/html; charset=utf-8", NOT_BUILT),
    }
}

async fn icon(State(files): State<Files>, request: HeaderMap) -> Response {
    files.serve("favicon.svg", REVALIDATED, &request).unwrap_or_else(not_found)
}

async fn licences(State(files): State<Files>, request: HeaderMap) -> Response {
    files.serve("licences.txt", REVALIDATED, &request).unwrap_or_else(not_found)
}

async fn asset(State(files): State<Files>, Path(name): Path<String>, request: HeaderMap) -> Response {
    files.serve(&format!("assets/{name}"), FOREVER, &request).unwrap_or_else(not_found)
}

/// Where the built files come from.
#[derive(Clone)]
enum Files {
    #[cfg(feature = "embed")]
    Embedded,
    #[cfg(any(test, not(feature = "embed")))]
    Folder(std::path::PathBuf),
}

#[cfg(feature = "embed")]
#[derive(rust_embed::RustEmbed)]
#[folder = "dist/"]
struct Dist;

impl Files {
    #[cfg(feature = "embed")]
    fn built() -> Self {
        Self::Embedded
    }

    #[cfg(not(feature = "embed"))]
    fn built() -> Self {
        Self::Folder(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dist"))
    }

    /// Bytes of a file by its path below `dist/`; `None` for any path that leaves it or that is not there.
    fn read(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        if !is_inside(path) {
            return None;
        }
        match self {
            #[cfg(feature = "embed")]
            Self::Embedded => Dist::get(path).map(|file| file.data),
            #[cfg(any(test, not(feature = "embed")))]
            Self::Folder(dist) => std::fs::read(dist.join(path)).ok().map(Cow::Owned),
        }
    }

    /// Answer with the file, its brotli copy where the client takes that, or 304 when the client has it already.
    fn serve(&self, path: &str, cache: &'static str, request: &HeaderMap) -> Option<Response> {
        let media_type = media_type(path)?;
        let packed = takes_brotli(request).then(|| self.read(&format!("{path}.br"))).flatten();
        let is_packed = packed.is_some();
        let bytes = packed.or_else(|| self.read(path))?;
        let tag = entity_tag(&bytes);
        let is_known = knows(request, &tag);
        let mut response = Response::new(match (is_known, bytes) {
            (true, _) => Body::empty(),
            (false, Cow::Borrowed(bytes)) => Body::from(Bytes::from_static(bytes)),
            (false, Cow::Owned(bytes)) => Body::from(bytes),
        });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::ETAG, HeaderValue::from_str(&tag).ok()?);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        }
        guard(headers);
        Some(response)
    }
}

/// Plain names only: no empty, hidden or parent segment, no separator or drive of another system.
fn is_inside(path: &str) -> bool {
    path.split('/').all(|segment| {
        !segment.is_empty() && !segment.starts_with('.') && !segment.contains(['\\', ':', '\0'])
    })
}

/// Media type by extension; `None` for what the build does not make, the `.br` copies among it.
fn media_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => return None,
    })
}

/// Whether the client takes brotli (RFC 9110 §12.5.3): named, and not with weight 0.
fn takes_brotli(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_brotli = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("br"));
        let is_refused = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        is_brotli && !is_refused
    })
}

/// Entity tag of a representation; the brotli copy has other bytes and so another tag (RFC 9110 §8.8.3.3).
fn entity_tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether `If-None-Match` names the tag (RFC 9110 §13.1.2, weak comparison).
fn knows(request: &HeaderMap, tag: &str) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn guard(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The address of a study holds its UID, which is nobody else's business.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "no such file\n")
}

fn plain(status: StatusCode, media_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    guard(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tempfile::TempDir;
    use tower::ServiceExt;

    use super::*;

    /// A built viewer of three files, one of them with a brotli copy; its folder is beside a file that is not part of it.
    fn built() -> (TempDir, Router) {
        let outer = tempfile::tempdir().unwrap();
        let dist = outer.path().join("dist");
        fs::create_dir_all(dist.join("assets")).unwrap();
        fs::write(outer.path().join("secret.js"), "secret").unwrap();
        fs::write(dist.join("index.html"), "<p>page").unwrap();
        fs::write(dist.join("assets/engine-AbC.js"), "plain script").unwrap();
        fs::write(dist.join("assets/engine-AbC.js.br"), "packed script").unwrap();
        fs::write(dist.join("assets/codec-AbC.wasm"), "wasm").unwrap();
        (outer, routes(Files::Folder(dist)))
    }

    async fn get(
        router: &Router,
        path: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn serves_the_same_page_for_the_list_and_for_a_study() {
        let (_outer, router) = built();
        for path in ["/", "/viewer?StudyInstanceUIDs=1.2.3,1.2.4"] {
            let (status, headers, body) = get(&router, path, &[]).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, "<p>page"));
            assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        }
    }

    #[tokio::test]
    async fn lets_assets_be_kept_forever() {
        let (_outer, router) = built();
        let (status, headers, body) = get(&router, "/assets/codec-AbC.wasm", &[]).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "wasm"));
        assert_eq!(headers[header::CONTENT_TYPE], "application/wasm");
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    }

    #[tokio::test]
    async fn picks_the_brotli_copy_for_a_client_that_takes_it() {
        let (_outer, router) = built();
        let (_, headers, body) =
            get(&router, "/assets/engine-AbC.js", &[(header::ACCEPT_ENCODING, "gzip, deflate, br;q=0.9")])
                .await;
        assert_eq!(body, "packed script");
        assert_eq!(headers[header::CONTENT_ENCODING], "br");
        assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(headers[header::VARY], "accept-encoding");
    }

    #[tokio::test]
    async fn serves_the_plain_file_to_a_client_without_brotli() {
        let (_outer, router) = built();
        for accepted in ["gzip", "br;q=0, gzip", "brx"] {
            let (_, headers, body) =
                get(&router, "/assets/engine-AbC.js", &[(header::ACCEPT_ENCODING, accepted)]).await;
            assert_eq!(body, "plain script", "for {accepted}");
            assert!(!headers.contains_key(header::CONTENT_ENCODING));
            assert_eq!(headers[header::VARY], "accept-encoding");
        }
    }

    #[tokio::test]
    async fn serves_the_plain_file_where_there_is_no_brotli_copy() {
        let (_outer, router) = built();
        let (_, headers, body) =
            get(&router, "/assets/codec-AbC.wasm", &[(header::ACCEPT_ENCODING, "br")]).await;
        assert_eq!(body, "wasm");
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn answers_304_to_a_client_that_has_the_file() {
        let (_outer, router) = built();
        let (_, headers, _) = get(&router, "/", &[]).await;
        let tag = headers[header::ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let (status, headers, body) = get(&router, "/", &[(header::IF_NONE_MATCH, &known)]).await;
            assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
            assert_eq!(headers[header::ETAG], *tag);
        }
        let (status, ..) = get(&router, "/", &[(header::IF_NONE_MATCH, "\"other\"")]).await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn tags_the_brotli_copy_apart_from_the_plain_file() {
        let (_outer, router) = built();
        let (_, plain, _) = get(&router, "/assets/engine-AbC.js", &[]).await;
        let (_, packed, _) = get(&router, "/assets/engine-AbC.js", &[(header::ACCEPT_ENCODING, "br")]).await;
        assert_ne!(plain[header::ETAG], packed[header::ETAG]);
    }

    #[tokio::test]
    async fn guards_every_answer() {
        let (_outer, router) = built();
        for path in ["/", "/assets/engine-AbC.js", "/assets/none.js"] {
            let (_, headers, _) = get(&router, path, &[]).await;
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"), "{path}: {policy}");
            assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        }
    }

    #[tokio::test]
    async fn answers_404_to_what_is_not_there_and_to_a_copy_by_its_own_name() {
        let (_outer, router) = built();
        for path in ["/assets/none.js", "/assets/", "/favicon.svg", "/assets/engine-AbC.js.br", "/other"] {
            let (status, ..) = get(&router, path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "for {path}");
        }
    }

    #[tokio::test]
    async fn never_leaves_the_folder() {
        let (outer, router) = built();
        let absolute = format!("/assets/{}/secret.js", outer.path().display());
        for path in [
            "/assets/../../secret.js",
            "/assets/%2e%2e/%2e%2e/secret.js",
            "/assets/..%2f..%2fsecret.js",
            "/assets/..%5c..%5csecret.js",
            "/assets/x/../../../secret.js",
            absolute.as_str(),
        ] {
            let (status, _, body) = get(&router, path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "for {path}: {body}");
        }
    }

    #[tokio::test]
    async fn says_how_to_build_the_viewer_when_it_is_not_built() {
        let nothing = tempfile::tempdir().unwrap();
        let router = routes(Files::Folder(nothing.path().join("dist")));
        let (status, headers, body) = get(&router, "/", &[]).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert!(body.contains("make viewer"));
    }
}
