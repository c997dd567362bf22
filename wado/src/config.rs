//! Settings of DICOMweb.

use serde::{Deserialize, Serialize};

/// Settings of DICOMweb, table `[web]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whether everybody is let in without signing in. Only for trials on loopback; with it off every request is
    /// answered 401 until there are accounts. Default: off.
    pub open: bool,
    /// Whether `Forwarded` and `X-Forwarded-*` tell the scheme, host and path prefix of the URLs that answers hold.
    /// Only behind a proxy that sets them; otherwise any client could have links point elsewhere. Default: off.
    pub behind_proxy: bool,
    /// Whether a request without `Accept` is answered 406, as PS3.18 §8.7.7 says, or else as if it accepted
    /// everything. Browsers and curl always send one. Default: on.
    pub require_accept: bool,
    /// Origins (`https://viewer.example.org`) whose pages may use this service, for viewers hosted elsewhere; `*` for
    /// any, without credentials. Default: none.
    pub cors_origins: Vec<String>,
    /// Most results of one search answer; further ones are announced by a `Warning` (PS3.18 §8.3.4.4.1). Default: 5000.
    pub max_results: u64,
    /// Path under which the router is mounted, without a slash at its end. Links are wrong when it differs from the
    /// mount. Default: `/dicom-web`.
    pub path: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            open: false,
            behind_proxy: false,
            require_accept: true,
            cors_origins: Vec::new(),
            max_results: 5000,
            path: "/dicom-web".into(),
        }
    }
}
