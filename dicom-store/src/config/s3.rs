//! Settings of an S3 object store: table `[store.s3]`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How the bucket of an `s3://bucket/prefix` is reached. Not looked at for `file:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3 {
    /// URL of the service; empty takes `AWS_ENDPOINT_URL`, and without that Amazon's. One that says `http:` is spoken
    /// to in clear text.
    pub endpoint: String,
    /// Empty takes `AWS_REGION`, and without that `us-east-1`, which most other services take for their own. A wrong
    /// one is answered as a wrong signature.
    pub region: String,
    /// Empty takes `AWS_ACCESS_KEY_ID`, and without that the role of the machine.
    pub access_key_id: String,
    /// File that holds the secret access key and nothing else. Without it `AWS_SECRET_ACCESS_KEY` is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key_file: Option<PathBuf>,
    /// The bucket stands in the path and not in the host name. Default true: every service knows it.
    pub path_style: bool,
    /// How long the service may take to answer a small request, in seconds; one that moves much has a second more for
    /// each MiB. When it has not answered by then it counts as gone: whoever needs it is refused at once, until it
    /// answers again to one who tries now and then. Default 4.
    pub answer_s: u64,
    /// The secret, where it did not come from a file.
    #[serde(skip)]
    pub secret_access_key: Option<Secret>,
    #[serde(skip)]
    pub session_token: Option<Secret>,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: String::new(),
            access_key_id: String::new(),
            secret_access_key_file: None,
            path_style: true,
            answer_s: 4,
            secret_access_key: None,
            session_token: None,
        }
    }
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«secret»")
    }
}
