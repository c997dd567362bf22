//! UIDs, one type for each thing that has one (PS3.5 §9).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// Takes off the padding that UI values end with: NUL by the standard, a space by many devices.
fn trimmed(text: &str) -> &str {
    text.trim_matches(['\0', ' '])
}

fn check(kind: &str, text: &str) -> Result<String> {
    let text = trimmed(text);
    let is_uid =
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let names_a_folder = !text.contains("..") && !text.starts_with('.') && !text.ends_with('.');
    if is_uid && names_a_folder {
        return Ok(text.to_owned());
    }
    // Not quoted: in a data set whose elements are shifted it may be a name.
    Err(Error::invalid(format!("{kind} is not a UID of 1 to 64 digits and points ({} bytes)", text.len())))
}

macro_rules! uid {
    ($(#[$doc:meta])* $name:ident, $words:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 64 digits and points. A component that starts with a zero, which PS3.5 §9.1
        /// forbids, is let through: devices send it, and the bytes are kept as they came.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// `Invalid` when the text is not a UID. Trailing NUL and spaces are padding.
            pub fn parse(text: &str) -> Result<Self> {
                check($words, text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(uid: $name) -> String {
                uid.0
            }
        }
    };
}

uid!(
    /// Study Instance UID (0020,000D).
    StudyInstanceUid, "Study Instance UID");
uid!(
    /// Series Instance UID (0020,000E).
    SeriesInstanceUid, "Series Instance UID");
uid!(
    /// SOP Instance UID (0008,0018).
    SopInstanceUid, "SOP Instance UID");
uid!(
    /// SOP Class UID (0008,0016).
    SopClassUid, "SOP Class UID");
uid!(
    /// Transfer Syntax UID (0002,0010).
    TransferSyntaxUid, "Transfer Syntax UID");
uid!(
    /// Transaction UID (0008,1195).
    TransactionUid, "Transaction UID");

impl SopInstanceUid {
    /// The UID of a random UUID (PS3.5 §B.2, ISO/IEC 9834-8 version 4).
    pub fn random() -> Self {
        // The keys of a hasher come from the system's random numbers.
        let half = |salt: u8| u128::from(RandomState::new().hash_one(salt));
        let version_and_variant = 4 << 76 | 2 << 62;
        let free = !(0xf << 76 | 3 << 62);
        let uuid: u128 = (half(0) << 64 | half(1)) & free | version_and_variant;
        Self(format!("2.25.{uuid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("1.2.840.10008.1.2\0", "1.2.840.10008.1.2")]
    #[case("1.2 ", "1.2")]
    #[case("1.02.3", "1.02.3")]
    fn takes_a_uid_without_its_padding(#[case] sent: &str, #[case] held: &str) {
        assert_eq!(SopInstanceUid::parse(sent).unwrap().as_str(), held);
    }

    #[test]
    fn a_random_uid_is_that_of_a_uuid_and_no_other_one() {
        let uids: std::collections::HashSet<_> = (0..1000).map(|_| SopInstanceUid::random()).collect();
        assert_eq!(uids.len(), 1000);
        for uid in uids {
            assert_eq!(SopInstanceUid::parse(uid.as_str()).unwrap(), uid);
            let uuid: u128 = uid.as_str().strip_prefix("2.25.").unwrap().parse().unwrap();
            assert_eq!((uuid >> 76 & 0xf, uuid >> 62 & 3), (4, 2), "{uid}");
        }
    }

    #[rstest]
    #[case("")]
    #[case("..")]
    #[case("1..2")]
    #[case(".1")]
    #[case("1.2/../3")]
    #[case("1.2.a")]
    #[case("11111111111111111111111111111111111111111111111111111111111111111")]
    fn refuses_what_could_not_name_a_thing_or_a_file(#[case] sent: &str) {
        assert!(StudyInstanceUid::parse(sent).is_err());
    }
}
