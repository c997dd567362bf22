//! A bucket of S3, or of a service that speaks it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::store_error;
use crate::config::S3;
use crate::{Error, Result};

/// What is not connected by then is not there.
const CONNECT: Duration = Duration::from_secs(2);
/// Silence after which a request counts as lost.
const SILENCE: Duration = Duration::from_secs(10);
/// One request with its body, at the most.
const REQUEST: Duration = Duration::from_secs(60);
/// Repeats of a request that met an error of the service's own or found nobody. Whoever waits has to be told soon.
const RETRIES: usize = 3;
const RETRY_FOR: Duration = Duration::from_secs(3);

/// Opens what stands behind `s3://`.
///
/// # Errors
/// `Invalid` for a URL or settings that cannot be; what the file system says of the secret's file.
pub(super) fn open(url: &str, place: &str, settings: &S3) -> Result<Arc<dyn ObjectStore>> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(Error::invalid(format!("objects URL is not of the form s3://bucket/prefix: {url}")));
    }
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::internal("no TLS was chosen before an object store was opened"));
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(if settings.region.is_empty() { "us-east-1" } else { &settings.region })
        .with_virtual_hosted_style_request(!settings.path_style)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
        })
        .with_client_options(
            ClientOptions::new()
                .with_allow_http(settings.endpoint.starts_with("http:"))
                .with_connect_timeout(CONNECT)
                .with_read_timeout(SILENCE)
                .with_timeout(REQUEST),
        );
    if !settings.endpoint.is_empty() {
        let is_url = reqwest::Url::parse(&settings.endpoint)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_url {
            let what = format!("store.s3.endpoint is no http or https URL: {}", settings.endpoint);
            return Err(Error::invalid(what));
        }
        builder = builder.with_endpoint(settings.endpoint.trim_end_matches('/'));
    }
    if !settings.access_key_id.is_empty() {
        builder =
            builder.with_access_key_id(&settings.access_key_id).with_secret_access_key(secret(settings)?);
    }
    if let Some(token) = &settings.session_token {
        builder = builder.with_token(token.expose());
    }
    let store = builder.build().map_err(|cause| Error::invalid("store.s3").with_source(cause))?;
    let prefix = Path::parse(prefix).map_err(|cause| store_error(cause.into()))?;
    Ok(if prefix.as_ref().is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}

/// Whether nobody has answered, or broken off before the end.
pub(super) fn is_lost(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return !matches!(http.kind(), HttpErrorKind::Decode);
        }
        cause = error.source();
    }
    false
}

fn secret(settings: &S3) -> Result<String> {
    if let Some(file) = &settings.secret_access_key_file {
        let text = std::fs::read_to_string(file).map_err(|cause| {
            Error::invalid(format!("store.s3.secret-access-key-file {}", file.display())).with_source(cause)
        })?;
        return Ok(text.trim().to_owned());
    }
    let secret = settings.secret_access_key.as_ref().map(|secret| secret.expose().to_owned());
    secret.ok_or_else(|| Error::invalid("store.s3 has an access-key-id and no secret-access-key-file"))
}
