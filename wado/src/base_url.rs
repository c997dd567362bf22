//! The URL under which the client sees this service.
//!
//! Links in answers (RetrieveURL, BulkDataURI, Content-Location) are absolute and must work from the client's side of
//! any proxy. They are made from `Host` and the scheme of the connection, which whoever ends TLS puts into the request's
//! extensions; from `Forwarded` (RFC 7239) or `X-Forwarded-*` only when the settings say that a proxy is there to set
//! them. Where the settings say the URL itself, it holds for all of them.
//!
//! Some clients (dicomweb-client) leave the port out of `Host`. It is put in where the host is the very address that the
//! connection came to: there the port is that of the socket. A name may stand for a port that is forwarded.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::Uri;
use http::header::{FORWARDED, HOST};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::router::PATH;

/// Where a connection was accepted; whoever accepts it puts this into the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Accepted(pub SocketAddr);

/// The URL of the server as clients see it, without a slash at its end: `https://pacs.example.org:8443/imaging`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(String);

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("{text} is no absolute URL of a server, as https://pacs.example.org:8443/imaging");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_web = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let is_place = uri.authority().is_some_and(|authority| is_host(authority.as_str()));
        let is_plain = uri.query().is_none() && uri.path().bytes().all(is_path_byte);
        if !is_web || !is_place || !is_plain || text.contains('#') {
            return Err(wrong());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl From<PublicUrl> for String {
    fn from(PublicUrl(text): PublicUrl) -> Self {
        text
    }
}

/// `http://host:port/dicom-web`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// For the URLs that an answer holds.
    pub(crate) fn of(parts: &Parts, config: &Config) -> Self {
        match &config.public_url {
            Some(PublicUrl(url)) => Self(format!("{url}{PATH}")),
            None => Self::asked(parts, config),
        }
    }

    /// As the request itself says it.
    pub(crate) fn asked(parts: &Parts, config: &Config) -> Self {
        let own = parts
            .headers
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
            .filter(|host| is_host(host))
            .unwrap_or("localhost");
        let own_scheme = parts.extensions.get::<Scheme>().map(Scheme::as_str).or(parts.uri.scheme_str());
        let own_scheme = own_scheme.unwrap_or("http");
        let (seen, own) = if config.behind_proxy {
            (Seen::by_proxy(&parts.headers, own), own.to_owned())
        } else {
            let accepted = parts.extensions.get::<Accepted>();
            (Seen::default(), at_socket(own, own_scheme, accepted.copied()))
        };
        let scheme = seen.scheme.as_deref().unwrap_or(own_scheme);
        let host = seen.host.unwrap_or(own);
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
    /// `own`: the host that the proxy asked for.
    fn by_proxy(headers: &HeaderMap, own: &str) -> Self {
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
                .map(|scheme| scheme.to_ascii_lowercase())
                .filter(|scheme| scheme == "http" || scheme == "https"),
            host: forwarded("host")
                .or_else(|| {
                    let (host, port) = (first("x-forwarded-host"), first("x-forwarded-port"));
                    if host.is_none() && port.is_none() {
                        return None;
                    }
                    Some(with_port(host.unwrap_or_else(|| own.to_owned()), port))
                })
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
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0 && port != 80 && port != 443);
    match port.filter(|port| !has_port && is_port(port)) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// The host with the port of the socket, where it is the address of that socket and says no port.
fn at_socket(host: &str, scheme: &str, accepted: Option<Accepted>) -> String {
    let usual = if scheme == "https" { 443 } else { 80 };
    let socket = accepted.map(|Accepted(socket)| socket).filter(|socket| socket.port() != usual);
    let named = host.parse::<Authority>().ok().filter(|authority| authority.port().is_none());
    let (Some(socket), Some(named)) = (socket, named) else { return host.to_owned() };
    let name = named.host().trim_start_matches('[').trim_end_matches(']');
    let is_here = name.parse::<IpAddr>().is_ok_and(|address| address == socket.ip().to_canonical())
        || (name.eq_ignore_ascii_case("localhost") && socket.ip().to_canonical().is_loopback());
    if is_here { format!("{host}:{}", socket.port()) } else { host.to_owned() }
}

/// Whether a text can stand for the host and port of a URL and nothing else.
pub(crate) fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:%".contains(&byte);
    let is_place = |place: Authority| {
        let has_port = place.host().len() < text.len();
        !place.host().is_empty() && (!has_port || place.port_u16().is_some())
    };
    text.bytes().all(is_allowed) && text.parse().is_ok_and(is_place)
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
    #[case::port_alone(true, &[("host", "pacs"), ("x-forwarded-port", "8443"), ("x-forwarded-proto", "HTTPS")], "https://pacs:8443/dicom-web")]
    #[case::port_of_its_own(true, &[("host", "pacs:81"), ("x-forwarded-port", "82")], "http://pacs:81/dicom-web")]
    #[case::no_port(true, &[("host", "pacs"), ("x-forwarded-host", "x.org"), ("x-forwarded-port", "abc")], "http://x.org/dicom-web")]
    #[case::no_such_port(true, &[("host", "pacs"), ("x-forwarded-host", "x.org"), ("x-forwarded-port", "99999")], "http://x.org/dicom-web")]
    #[case::no_such_port_of_its_own(true, &[("host", "pacs"), ("x-forwarded-host", "x.org:99999")], "http://pacs/dicom-web")]
    #[case::no_host(true, &[("host", "pacs"), ("x-forwarded-host", "2001:db8::2")], "http://pacs/dicom-web")]
    #[case::address(true, &[("host", "pacs"), ("x-forwarded-host", "[2001:db8::2]"), ("x-forwarded-port", "81")], "http://[2001:db8::2]:81/dicom-web")]
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
        let public_url = PublicUrl::try_from("https://pacs.example.org:8443/a/".to_owned()).ok();
        let base = BaseUrl::of(&parts, &Config { public_url, ..config });
        assert_eq!(base.as_str(), "https://pacs.example.org:8443/a/dicom-web");
    }

    #[rstest]
    #[case::address("127.0.0.1", "127.0.0.1:8080", "127.0.0.1:8080")]
    #[case::name_of_this_machine("localhost", "127.0.0.1:8080", "localhost:8080")]
    #[case::version_6("[::1]", "[::1]:8080", "[::1]:8080")]
    #[case::mapped("10.0.0.5", "[::ffff:10.0.0.5]:8080", "10.0.0.5:8080")]
    #[case::said("127.0.0.1:81", "127.0.0.1:8080", "127.0.0.1:81")]
    #[case::usual("10.0.0.5", "10.0.0.5:80", "10.0.0.5")]
    #[case::forwarded("10.0.0.5", "172.17.0.2:8080", "10.0.0.5")]
    #[case::name("pacs", "10.0.0.5:8080", "pacs")]
    fn the_port_is_that_of_the_socket_where_its_address_is_asked_for(
        #[case] host: &str,
        #[case] socket: &str,
        #[case] expected: &str,
    ) {
        let request = Request::builder().uri("/studies").header("host", host);
        let request = request.extension(Accepted(socket.parse().unwrap()));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let told = |config: &Config| BaseUrl::of(&parts, config).as_str().to_owned();
        assert_eq!(told(&Config::default()), format!("http://{expected}/dicom-web"));
        let behind_proxy = Config { behind_proxy: true, ..Config::default() };
        assert_eq!(told(&behind_proxy), format!("http://{host}/dicom-web"));
    }

    #[rstest]
    #[case("pacs.example.org")]
    #[case("ftp://pacs.example.org")]
    #[case("https://user@pacs.example.org")]
    #[case("https://pacs.example.org/?a=b")]
    #[case("https://pacs.example.org/#a")]
    #[case("https:///imaging")]
    #[case("/imaging")]
    fn a_public_url_has_scheme_and_host_and_nothing_behind_its_path(#[case] text: &str) {
        assert!(PublicUrl::try_from(text.to_owned()).is_err());
    }
}
