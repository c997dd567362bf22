//! The URL under which the client sees this service.
//!
//! Links in answers (RetrieveURL, BulkDataURI, Content-Location) are absolute and must work from the client's side of
//! any proxy. They are made from `Host` and the scheme of the connection, which whoever ends TLS puts into the request's
//! extensions; from `Forwarded` (RFC 7239) or `X-Forwarded-*` only when the settings say that a proxy is there to set
//! them.

use std::fmt::{self, Display, Formatter};

use http::HeaderMap;
use http::header::{FORWARDED, HOST};
use http::request::Parts;
use http::uri::Scheme;

use crate::config::Config;
use crate::router::PATH;

/// `http://host:port/dicom-web`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(parts: &Parts, config: &Config) -> Self {
        let own = parts
            .headers
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
            .filter(|host| is_host(host))
            .unwrap_or("localhost");
        let seen = if config.behind_proxy { Seen::by_proxy(&parts.headers) } else { Seen::default() };
        let own_scheme = parts.extensions.get::<Scheme>().map(Scheme::as_str).or(parts.uri.scheme_str());
        let scheme = seen.scheme.as_deref().or(own_scheme).unwrap_or("http");
        let host = seen.host.as_deref().unwrap_or(own);
        let prefix = seen.prefix.as_deref().unwrap_or_default();
        Self(format!("{scheme}://{host}{prefix}{PATH}"))
    }

    /// The same of the server that has the service: `http://host:port`, and the path that a proxy puts before all.
    pub(crate) fn root(&self) -> &str {
        self.0.strip_suffix(PATH).unwrap_or(&self.0)
    }

    /// Whether a page is of this server: `origin` is as browsers say it (RFC 6454 §7), or the port of a scheme is said
    /// though it is the usual one.
    pub(crate) fn is_origin(&self, origin: &str) -> bool {
        let Some((scheme, rest)) = self.0.split_once("://") else { return false };
        let host = rest.split('/').next().unwrap_or_default();
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let without_port = |host: &str| host.strip_suffix(usual).unwrap_or(host).to_ascii_lowercase();
        origin
            .split_once("://")
            .is_some_and(|(of, at)| of == scheme && without_port(at) == without_port(host))
    }
}

impl Display for BaseUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a proxy tells of the request as the client sent it.
#[derive(Default)]
struct Seen {
    scheme: Option<String>,
    host: Option<String>,
    prefix: Option<String>,
}

impl Seen {
    fn by_proxy(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // The first element is the proxy nearest to the client.
        let first =
            |name: &str| text(name).and_then(|value| value.split(',').next()).map(|v| v.trim().to_owned());
        let forwarded = |name: &str| {
            let element = text(FORWARDED.as_str())?.split(',').next()?;
            let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
        };
        Self {
            scheme: forwarded("proto")
                .or_else(|| first("x-forwarded-proto"))
                .filter(|scheme| scheme == "http" || scheme == "https"),
            host: forwarded("host")
                .or_else(|| Some(with_port(first("x-forwarded-host")?, first("x-forwarded-port"))))
                .filter(|host| is_host(host)),
            prefix: first("x-forwarded-prefix")
                .map(|prefix| prefix.trim_end_matches('/').to_owned())
                .filter(|prefix| prefix.starts_with('/') && prefix.bytes().all(is_path_byte)),
        }
    }
}

/// The host with the port that the proxy names beside it, unless it has one or the port is a scheme's own.
fn with_port(host: String, port: Option<String>) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    match port.filter(|port| !has_port && port != "80" && port != "443") {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Whether a text can stand for the host and port of a URL and nothing else.
fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:%".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://x.org", true)]
    #[case("https://X.org:443", true)]
    #[case("http://x.org", false)]
    #[case("https://x.org:8443", false)]
    #[case("https://x.org.evil.example", false)]
    #[case("null", false)]
    #[case("", false)]
    fn knows_its_own_pages(#[case] origin: &str, #[case] expected: bool) {
        assert_eq!(BaseUrl("https://x.org/a/dicom-web".into()).is_origin(origin), expected);
    }

    #[rstest]
    #[case::plain(false, &[("host", "pacs:8080")], "http://pacs:8080/dicom-web")]
    #[case::none(false, &[], "http://localhost/dicom-web")]
    #[case::not_trusted(false, &[("host", "pacs"), ("x-forwarded-host", "evil")], "http://pacs/dicom-web")]
    #[case::x_forwarded(true, &[("host", "pacs"), ("x-forwarded-host", "www.example.org"), ("x-forwarded-proto", "https"), ("x-forwarded-prefix", "/a/b/")], "https://www.example.org/a/b/dicom-web")]
    #[case::forwarded(true, &[("host", "pacs"), ("forwarded", "for=1.2.3.4;proto=https;host=\"x.org:444\", proto=http")], "https://x.org:444/dicom-web")]
    #[case::malicious(true, &[("host", "pacs"), ("x-forwarded-host", "a\"><script>")], "http://pacs/dicom-web")]
    #[case::port(true, &[("host", "pacs"), ("x-forwarded-host", "x.org"), ("x-forwarded-port", "8443"), ("x-forwarded-proto", "https")], "https://x.org:8443/dicom-web")]
    #[case::usual_port(true, &[("x-forwarded-host", "x.org"), ("x-forwarded-port", "443"), ("x-forwarded-proto", "https")], "https://x.org/dicom-web")]
    #[case::two_ports(true, &[("x-forwarded-host", "[::1]:81"), ("x-forwarded-port", "82")], "http://[::1]:81/dicom-web")]
    #[case::several(true, &[("host", "pacs"), ("x-forwarded-proto", "https, http")], "https://pacs/dicom-web")]
    fn is_what_the_client_sees(
        #[case] behind_proxy: bool,
        #[case] fields: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let mut request = Request::builder().uri("/studies");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let config = Config { behind_proxy, ..Config::default() };
        assert_eq!(BaseUrl::of(&parts, &config).as_str(), expected);
    }
}
