//! The URL of the index, which may hold a password.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Prints, and is written into settings, without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct IndexUrl(String);

impl IndexUrl {
    /// The whole of it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for IndexUrl {
    fn from(url: T) -> Self {
        Self(url.into())
    }
}

impl fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(&self.0) };
        let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
        write!(f, "{scheme}://")?;
        match before_query.rsplit_once('@') {
            Some((user, place)) => write!(f, "{}@{place}", without_password(user, ':'))?,
            None => f.write_str(before_query)?,
        }
        for (n, option) in query.split('&').filter(|option| !option.is_empty()).enumerate() {
            let option = if option.starts_with("password=") {
                without_password(option, '=')
            } else {
                option.to_owned()
            };
            write!(f, "{}{option}", if n == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

fn without_password(text: &str, mark: char) -> String {
    text.split_once(mark).map_or_else(|| text.to_owned(), |(before, _)| format!("{before}{mark}***"))
}

impl fmt::Debug for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for IndexUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sqlite:", "sqlite:")]
    #[case("sqlite:///var/lib/a@b:c", "sqlite:///var/lib/a@b:c")]
    #[case("postgres://pacs@db/archive?sslmode=require", "postgres://pacs@db/archive?sslmode=require")]
    #[case("postgres://pacs:s3:cr@et@db:5432/archive", "postgres://pacs:***@db:5432/archive")]
    #[case("postgres:///a?host=/run&password=secret&user=x", "postgres:///a?host=/run&password=***&user=x")]
    fn is_told_without_its_password(#[case] url: &str, #[case] told: &str) {
        let url = IndexUrl::from(url);
        assert_eq!((url.to_string(), format!("{url:?}")), (told.to_owned(), format!("\"{told}\"")));
        assert_eq!(serde_json::to_value(&url).unwrap(), told);
    }
}
