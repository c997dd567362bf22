//! The one error of the archive: a kind for machines, a sentence for people.

use std::error::Error as StdError;
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as far as a caller can act on it.
///
/// Closed on purpose: a new kind has to be given a status in each protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing that was named is not in the archive.
    NotFound,
    /// What was sent cannot be read or makes no sense.
    Invalid,
    /// What was sent contradicts what is stored, or itself.
    Conflict,
    /// The caller may not do this.
    Forbidden,
    /// Larger than a declared limit.
    TooLarge,
    /// A resource has run out: disk, byte budget.
    Exhausted,
    /// Something needed cannot be reached just now.
    Unavailable,
    /// What is stored cannot be read back.
    Corrupt,
    /// A fault of ours.
    Internal,
}

/// Names the thing and the numbers; fits after "failed to" or a colon.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    pub kind: ErrorKind,
    pub what: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error {
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, what)
    }

    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, what)
    }

    pub fn conflict(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, what)
    }

    pub fn forbidden(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, what)
    }

    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, what)
    }

    /// The sentence and the sentences of all its causes, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut cause = self.source();
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text
    }
}

/// A full disk is told apart from every other failure to write: it passes when somebody makes room.
impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match cause.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Exhausted,
            Io::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, cause.to_string()).with_source(cause)
    }
}
