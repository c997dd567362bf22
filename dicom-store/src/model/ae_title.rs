//! Application entity titles (PS3.5 §6.2, AE).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// 1 to 16 characters, without the spaces around them; case matters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(String);

impl AeTitle {
    /// # Errors
    /// `Invalid` when nothing is left without the spaces, or more than 16 bytes, or a control
    /// character or backslash is in it.
    pub fn parse(text: &str) -> Result<Self> {
        let title = text.trim_matches([' ', '\0']);
        if title.is_empty() || title.len() > 16 {
            return Err(Error::invalid(format!(
                "AE title has {} characters, 1 to 16 are allowed",
                title.len()
            )));
        }
        if title.chars().any(|c| c.is_control() || c == '\\') {
            return Err(Error::invalid("AE title holds a control character or a backslash"));
        }
        Ok(Self(title.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AeTitle {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<String> for AeTitle {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> String {
        title.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_around_a_title_do_not_count_and_case_does() {
        assert_eq!(AeTitle::parse(" CT1  ").unwrap(), AeTitle::parse("CT1").unwrap());
        assert_ne!(AeTitle::parse("ct1").unwrap(), AeTitle::parse("CT1").unwrap());
    }

    #[test]
    fn refuses_nothing_too_much_and_control_characters() {
        assert!(AeTitle::parse("    ").is_err());
        assert!(AeTitle::parse("SEVENTEEN_LETTERS").is_err());
        assert!(AeTitle::parse("A\\B").is_err());
    }
}
