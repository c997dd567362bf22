//! What all requests of ours to services of others have in common.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Url};

const CONNECT: Duration = Duration::from_secs(10);
/// A file with a password, token or key may be this long.
const LONGEST_SECRET: u64 = 64 << 10;

/// A client that goes where it is told and nowhere else: it follows no redirection and knows no proxy. `ca`: PEM, the CAs
/// that certificates have to come from; those of the system without. Blocks while it reads.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn client(ca: Option<&Path>) -> Result<Client, String> {
    let mut client = Client::builder().connect_timeout(CONNECT).redirect(Policy::none()).no_proxy();
    if let Some(ca) = ca {
        let pem = std::fs::read(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        let found = Certificate::from_pem_bundle(&pem);
        let found = found.map_err(|error| format!("{}: no PEM file: {error}", ca.display()))?;
        if found.is_empty() {
            return Err(format!("{}: no CERTIFICATE in it", ca.display()));
        }
        client = client.tls_certs_only(found);
    }
    client.build().map_err(|error| error.to_string())
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a file holds, without the end of its line.
pub(crate) fn secret(path: &Path) -> Result<String, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    if std::fs::metadata(path).map_err(|error| wrong(&error))?.len() > LONGEST_SECRET {
        return Err(wrong(&"it is too long for a password or token"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    match text.trim_end() {
        "" => Err(wrong(&"there is nothing in it")),
        text => Ok(text.to_owned()),
    }
}

/// Without the URL, which may name a study.
pub(crate) fn words(error: &reqwest::Error) -> String {
    let mut words = match (error.is_connect(), error.is_timeout()) {
        (true, _) => "the service cannot be reached".to_owned(),
        (_, true) => "the service does not answer in time".to_owned(),
        _ => "the connection failed".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
