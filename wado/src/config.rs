//! Settings of DICOMweb.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::accept::Negotiation;
use crate::api::WindowPreset;
use crate::base_url::PublicUrl;
use crate::destination::StowService;
use crate::hooks::Hook;
use crate::origin::Origin;

/// Results of one search answer, unless the settings say otherwise.
const MOST_RESULTS: NonZeroU64 = NonZeroU64::new(5000).expect("five thousand is not zero");

/// Settings of DICOMweb, table `[web]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whether everybody is let in without signing in. Only for trials on loopback; with it off every request is
    /// answered 401 until there are accounts. Default: off. Set by the server alone.
    #[serde(skip)]
    pub open: bool,
    /// Whether `Forwarded` and `X-Forwarded-*` tell the scheme, host and path prefix of the URLs that answers hold.
    /// Only behind a proxy that sets them; otherwise any client could have links point elsewhere. Default: off. Set by
    /// the server alone, from `http.behind-proxy`.
    #[serde(skip)]
    pub behind_proxy: bool,
    /// Under which the server is reached from outside, `https://pacs.example.org:8443/imaging`: URLs in answers begin with
    /// it, whatever a request says of host and scheme. For where those cannot be told, as behind a port that is forwarded,
    /// or for clients that leave the port out of `Host`. Default: by each request.
    pub public_url: Option<PublicUrl>,
    /// How closely requests have to keep to PS3.18 §8.7. `lenient` gives programs that send no `Accept`, or one that
    /// mixes DICOM and rendered media types, what there is; `strict` answers them 406 and 400. Default: `lenient`.
    pub negotiation: Negotiation,
    /// Origins (`https://viewer.example.org`) whose pages may use this service, for viewers hosted elsewhere; `*` for
    /// any, without credentials. Scheme, host and port as the browser has them, and nothing behind. Default: none.
    pub cors_origins: Vec<Origin>,
    /// Most results of one search answer, one at the least; further ones are announced by a `Warning`
    /// (PS3.18 §8.3.4.4.1). Default: 5000.
    pub max_results: NonZeroU64,
    /// MiB of rendered images and thumbnails that are kept in memory; 0 keeps none. Default: 64.
    pub rendered_cache_mib: u64,
    /// STOW-RS services that rules can send to, beside peers. Default none.
    pub destinations: Vec<StowService>,
    /// Programs that rules can tell by HTTP what has happened. Default none.
    pub hooks: Vec<Hook>,
    /// Windows that readers choose, by modality. Default: five of CT.
    pub window_presets: Vec<WindowPreset>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            open: false,
            behind_proxy: false,
            public_url: None,
            negotiation: Negotiation::Lenient,
            cors_origins: Vec::new(),
            max_results: MOST_RESULTS,
            rendered_cache_mib: 64,
            destinations: Vec::new(),
            hooks: Vec::new(),
            window_presets: WindowPreset::usual(),
        }
    }
}
