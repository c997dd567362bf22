//! The variables by which S3 is usually told where it is and who asks.

use dicom_store::{S3, Secret};

const PREFIX: &str = "AWS_";

/// Fills what the settings leave open. A secret that is named by a file is never taken from here.
pub(super) fn fill(settings: &mut S3, environment: &[(String, String)]) {
    let variable = |name: &str| {
        let found = environment.iter().find(|(key, _)| key.strip_prefix(PREFIX) == Some(name));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    if settings.endpoint.is_empty() {
        settings.endpoint =
            variable("ENDPOINT_URL_S3").or_else(|| variable("ENDPOINT_URL")).unwrap_or_default();
    }
    if settings.region.is_empty() {
        settings.region = variable("REGION").or_else(|| variable("DEFAULT_REGION")).unwrap_or_default();
    }
    if settings.access_key_id.is_empty() {
        settings.access_key_id = variable("ACCESS_KEY_ID").unwrap_or_default();
        settings.session_token = variable("SESSION_TOKEN").map(Secret::new);
    }
    if settings.secret_access_key_file.is_none() {
        settings.secret_access_key = variable("SECRET_ACCESS_KEY").map(Secret::new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Vec<(String, String)> {
        [("AWS_REGION", "garage"), ("AWS_ACCESS_KEY_ID", "GK1"), ("AWS_SECRET_ACCESS_KEY", "word")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    #[test]
    fn what_the_settings_leave_open_is_taken_and_the_secret_is_never_printed() {
        let mut settings = S3::default();
        fill(&mut settings, &environment());
        assert_eq!((settings.region.as_str(), settings.access_key_id.as_str()), ("garage", "GK1"));
        assert_eq!(settings.secret_access_key, Some(Secret::new("word")));
        assert!(!format!("{settings:?}").contains("word"));
        assert!(!toml::to_string(&settings).unwrap().contains("word"));
    }

    #[test]
    fn the_settings_win() {
        let mut settings =
            S3 { region: "hanoi".into(), secret_access_key_file: Some("/secret".into()), ..S3::default() };
        fill(&mut settings, &environment());
        assert_eq!((settings.region.as_str(), settings.secret_access_key), ("hanoi", None));
    }
}
