//! Under which name the server is asked for, and a trial above all.
//!
//! A trial lets everybody in who reaches it from this machine, and a browser on it is one of them: a foreign page whose
//! name is made to resolve to 127.0.0.1 could otherwise read the archive (DNS rebinding).

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses every request for another host than this machine (421, RFC 9110 §15.5.20).
pub(super) async fn this_machine_only(request: Request, next: Next) -> Response {
    if names_this_machine(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let text = "a trial (--open) answers requests for localhost, 127.0.0.0/8 and [::1] only\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Refuses a request that says its host more than once (400, RFC 9112 §3.2): whoever stands in between may have taken
/// another one for it.
pub(super) async fn one(request: Request, next: Next) -> Response {
    if request.headers().get_all(header::HOST).iter().nth(1).is_none() {
        return next.run(request).await;
    }
    (StatusCode::BAD_REQUEST, "the request has more than one Host field\n").into_response()
}

/// HTTP/2 says the host in the target, HTTP/1 in a field of the head; where both are said, both count.
fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let in_target = uri.authority().cloned().map(Some);
    let in_head = headers
        .get_all(header::HOST)
        .iter()
        .map(|value| value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()));
    let mut named = in_target.into_iter().chain(in_head).peekable();
    named.peek().is_some() && named.all(|host| host.is_some_and(|host| is_loopback(host.host())))
}

fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || v6.is_some_and(|host| host.parse() == Ok(Ipv6Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    fn allows(target: &str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        names_this_machine(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8080"] {
            assert!(allows("/", &[host]), "{host}");
        }
        assert!(allows("http://localhost:8080/", &[]), "HTTP/2");
    }

    #[tokio::test]
    async fn a_host_is_said_once() {
        let routes = Router::new().route("/", get(|| async { "here" })).layer(from_fn(one));
        for (hosts, status) in [(1, StatusCode::OK), (2, StatusCode::BAD_REQUEST)] {
            let mut request = Request::new(Body::empty());
            for _ in 0..hosts {
                request.headers_mut().append(header::HOST, "localhost".parse().unwrap());
            }
            assert_eq!(routes.clone().oneshot(request).await.unwrap().status(), status);
        }
    }

    #[test]
    fn every_other_name_is_refused() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "192.168.1.2",
            "[::2]",
            "::1",
            "",
            "evil@localhost.example",
        ] {
            assert!(!allows("/", &[host]), "{host}");
        }
        assert!(!allows("/", &[]), "none");
        assert!(!allows("/", &["localhost", "evil.example"]), "two");
        assert!(!allows("http://evil.example/", &["localhost"]), "target and field differ");
    }
}
