//! The query component of a request: names and values, percent-decoded, in their order.

use axum::extract::Query;
use http::Uri;

/// Parameters of the query component. Undecodable bytes become U+FFFD; a component that is no list of parameters has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Self {
        Query::try_from_uri(uri).map_or_else(|_| Self::default(), |Query(pairs)| Self(pairs))
    }

    /// First value of the parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    pub(crate) fn push(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_names_and_values_in_their_order() {
        let parameters = Parameters::of(&"/s?PatientName=*nguy%E1%BB%85n*&a=1&a=2%2C3".parse().unwrap());
        assert_eq!(parameters.get("PatientName"), Some("*nguyễn*"));
        assert_eq!(parameters.iter().skip(1).collect::<Vec<_>>(), [("a", "1"), ("a", "2,3")]);
    }

    #[test]
    fn survives_what_is_not_text() {
        let parameters = Parameters::of(&"/s?PatientName=%00%ff%zz&=&&x".parse().unwrap());
        assert!(parameters.get("PatientName").unwrap().contains('\u{FFFD}'));
    }
}
