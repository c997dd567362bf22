//! Origins of pages (RFC 6454), as the settings name them.

use http::Uri;
use http::uri::Scheme;
use serde::{Deserialize, Serialize};

use crate::base_url::is_host;

/// An origin whose pages may use the service, as browsers say it: `https://viewer.example.org`, in lower case, without a
/// path and without the port that its scheme has anyhow; or `*`, which is any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    pub(crate) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it is the one that a browser says.
    pub(crate) fn is(&self, said: &[u8]) -> bool {
        self.0.as_bytes() == said
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    /// Case, one slash at the end and the usual port of the scheme are forgiven.
    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(text));
        }
        let wrong =
            || format!("{text} is no origin of pages, as https://viewer.example.org or http://10.0.0.7:3000");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let usual = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => ":80",
            Some(scheme) if *scheme == Scheme::HTTPS => ":443",
            _ => return Err(wrong()),
        };
        let place = uri.authority().filter(|place| is_host(place.as_str())).ok_or_else(wrong)?;
        if uri.path() != "/" || uri.query().is_some() || text.contains('#') {
            return Err(wrong());
        }
        let place = place.as_str().to_ascii_lowercase();
        let scheme = if usual == ":80" { "http" } else { "https" };
        Ok(Self(format!("{scheme}://{}", place.strip_suffix(usual).unwrap_or(&place))))
    }
}

impl From<Origin> for String {
    fn from(Origin(text): Origin) -> Self {
        text
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://viewer.example.org", "https://viewer.example.org")]
    #[case("https://viewer.example.org/", "https://viewer.example.org")]
    #[case("HTTPS://Viewer.example.org:443", "https://viewer.example.org")]
    #[case("http://10.0.0.7:3000", "http://10.0.0.7:3000")]
    #[case("http://[::1]:80", "http://[::1]")]
    #[case("*", "*")]
    fn is_said_as_browsers_say_it(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(String::from(Origin::try_from(text.to_owned()).unwrap()), expected);
    }

    #[rstest]
    #[case("viewer.example.org")]
    #[case("ftp://viewer.example.org")]
    #[case("https://viewer.example.org/ohif")]
    #[case("https://viewer.example.org/?a")]
    #[case("https://viewer.example.org#a")]
    #[case("https://user@viewer.example.org")]
    #[case("https://viewer.example.org:99999")]
    #[case("https://*.example.org")]
    #[case("null")]
    #[case("")]
    fn what_no_browser_says_is_refused(#[case] text: &str) {
        assert!(Origin::try_from(text.to_owned()).is_err());
    }
}
