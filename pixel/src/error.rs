//! Why pixels could not be read or shown.

/// An error of this module: what kind it is, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    /// For machines.
    pub kind: ErrorKind,
    /// For people: names the thing, gives the numbers.
    pub what: String,
}

/// Kinds of [`Error`]; closed on purpose, so that a new one breaks every table of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The instance holds no pixels to show.
    NotAnImage,
    /// The codec or the layout of the samples is not implemented here.
    Unsupported,
    /// The data set describes an image that cannot be (PS3.3 §C.7.6.3).
    Invalid,
    /// The bytes of the frame are not what the data set says, or break off.
    Corrupt,
    /// The image is larger than what one frame may take in memory.
    TooLarge,
    /// What was asked for cannot be shown, such as a region outside of the image.
    Presentation,
    /// An encoder failed; nothing about the input explains it.
    Internal,
}

/// What the functions of this module give back.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, what)
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, what)
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    /// Whether trying again may help: never for pixels, which stay what they are.
    pub fn is_permanent(&self) -> bool {
        self.kind != ErrorKind::Internal
    }
}
