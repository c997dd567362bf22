//! Programs of the hospital that are told by HTTP what has happened.
//!
//! One POST with a JSON body. Where there is a key, it is signed as <https://www.standardwebhooks.com> has it, so that
//! whoever hears it can check with a library of any language who says so, and that it is not an old one said again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dicom_store::model::{Error as StoreError, Result as StoreResult};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tracing::info;
use worker::hooks::Call;
use worker::{Error, Hooks};

use crate::dicom_json::base64;
use crate::outbound::{client, secret, words};

/// How long a program may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Before the base64 of a key; a key without it is taken as it is.
const PREFIX: &str = "whsec_";

/// A program that rules can tell: `to` of `webhook` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// Its name in rules.
    pub name: String,
    /// Where it listens, `http` or `https`. Stands in no log and no job.
    pub url: String,
    /// A file with the key that calls are signed with, read for each call. Default: they are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// PEM: the CAs that its certificate has to come from. Default those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// All programs that can be told; cheap to clone.
#[derive(Clone, Default)]
pub struct Webhooks(Arc<BTreeMap<String, Target>>);

struct Target {
    url: Url,
    secret_file: Option<PathBuf>,
    client: Client,
}

impl Webhooks {
    /// # Errors
    /// `Invalid` with the setting that cannot be, or the file that cannot be read. Blocks while it reads.
    pub fn new(hooks: &[Hook]) -> StoreResult<Self> {
        let mut targets = BTreeMap::new();
        for hook in hooks {
            let wrong = |what: String| StoreError::invalid(format!("web.hooks {}: {what}", hook.name));
            if targets.insert(hook.name.clone(), Target::new(hook).map_err(wrong)?).is_some() {
                return Err(wrong("another one has this name".to_owned()));
            }
        }
        Ok(Self(Arc::new(targets)))
    }

    /// Whether there is one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl Target {
    fn new(hook: &Hook) -> Result<Self, String> {
        let url = Url::parse(&hook.url).map_err(|error| format!("url: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("url: {} is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("url: a password has no place in it; give a key by secret-file".to_owned());
        }
        if let Some(path) = &hook.secret_file {
            key(&secret(path)?).map_err(|what| format!("{}: {what}", path.display()))?;
        }
        Ok(Self { url, secret_file: hook.secret_file.clone(), client: client(hook.ca.as_deref())? })
    }

    /// Tells it, and gives the status of its answer. Nothing else of that is read.
    async fn post(&self, call: &Call) -> Result<StatusCode, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self
            .client
            .post(self.url.clone())
            .timeout(ANSWER)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", now);
        if let Some(path) = &self.secret_file {
            let mut signature = HeaderValue::try_from(signature(&key(&secret(path)?)?, call, now)?)
                .map_err(|error| error.to_string())?;
            signature.set_sensitive(true);
            request = request.header("webhook-signature", signature);
        }
        let answer = request.body(call.body.clone()).send().await.map_err(|error| words(&error))?;
        Ok(answer.status())
    }
}

impl Hooks for Webhooks {
    fn tell<'a>(&'a self, name: &'a str, call: &'a Call) -> BoxFuture<'a, worker::Result<()>> {
        async move {
            let never = |what: String| Error::Store(StoreError::invalid(what));
            let Some(target) = self.0.get(name) else {
                return Err(never(format!("web.hooks has no {name} any more")));
            };
            match target.post(call).await {
                Ok(status) if status.is_success() => {
                    info!(hook = name, id = call.id, %status, "webhook taken");
                    Ok(())
                }
                Ok(status) if status.is_redirection() => {
                    Err(never(format!("{name} answered {status}; redirections are not followed")))
                }
                Ok(StatusCode::GONE) => Err(never(format!("{name} answered that it is gone for good (410)"))),
                Ok(status) => Err(Error::Remote(format!("{name} answered {status}"))),
                Err(why) => Err(Error::Remote(format!("{name}: {why}"))),
            }
        }
        .boxed()
    }
}

/// What a file with a key means.
fn key(text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix(PREFIX) {
        Some(digits) => base64::decode(digits)
            .filter(|key| !key.is_empty())
            .ok_or_else(|| format!("what stands behind {PREFIX} is no base64")),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// HMAC-SHA-256 of identifier, time and body.
fn signature(key: &[u8], Call { id, body }: &Call, seconds: u64) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let mut text = b"v1,".to_vec();
    base64::encode(&mac.finalize().into_bytes(), &mut text);
    String::from_utf8(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn hook(url: &str) -> Hook {
        // The program does it as it starts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Hook { name: "RIS".to_owned(), url: url.to_owned(), secret_file: None, ca: None }
    }

    #[rstest]
    #[case::no_url("ris", "url")]
    #[case::other_scheme("file:///etc/passwd", "neither http nor https")]
    #[case::password("https://us:secret@ris/hook", "no place in it")]
    fn what_cannot_be_told_is_refused(#[case] url: &str, #[case] why: &str) {
        let error = Webhooks::new(&[hook(url)]).err().unwrap().what;
        assert!(error.contains("RIS") && error.contains(why) && !error.contains("secret@"), "{error}");
    }

    #[test]
    fn two_of_one_name_and_a_key_that_cannot_be_read_are_refused() {
        let twice = [hook("https://ris/1"), hook("https://ris/2")];
        assert!(Webhooks::new(&twice).err().unwrap().what.contains("another one"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_key = Hook { secret_file: Some(file.path().to_owned()), ..hook("https://ris") };
        assert!(Webhooks::new(std::slice::from_ref(&with_key)).err().unwrap().what.contains("nothing in it"));
        std::fs::write(&file, "whsec_&&&\n").unwrap();
        assert!(Webhooks::new(std::slice::from_ref(&with_key)).err().unwrap().what.contains("base64"));
        std::fs::write(&file, "a key\n").unwrap();
        assert!(Webhooks::new(&[with_key]).unwrap().has("RIS"));
    }

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_the_one_that_others_compute() {
        let call =
            Call { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), body: "{\"test\": 2432232314}".to_owned() };
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, &call, 1_614_265_330).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn one_that_is_not_there_any_more_is_an_error_for_good() {
        let call = Call { id: "1".to_owned(), body: "{}".to_owned() };
        assert!(Webhooks::default().tell("RIS", &call).await.unwrap_err().is_permanent());
    }
}
