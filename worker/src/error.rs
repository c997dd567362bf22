//! What can go wrong in the worker.

use std::time::Duration;

use dicom_store::ErrorKind;

use crate::pixel;
use crate::pool::Panicked;

/// An error of a job or of the machinery that runs it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive could not do its part.
    #[error(transparent)]
    Store(#[from] dicom_store::Error),
    /// The pixels could not be read or shown.
    #[error(transparent)]
    Pixel(#[from] pixel::Error),
    /// The computation panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The queue holds a job that is not of this server.
    #[error("no job is of the kind {0:?}")]
    UnknownKind(String),
    /// A row of the queue holds what its kind does not understand.
    #[error("payload of the kind {kind}: {source}")]
    Payload {
        /// The kind the row names.
        kind: String,
        /// Why its payload is not that of this kind.
        source: serde_json::Error,
    },
    /// A run of a job took too long.
    #[error("not done within {0:?}")]
    TimeLimit(Duration),
    /// A job was begun so often and never ended.
    #[error("given up after {0} runs that never ended")]
    GivenUp(u32),
    /// A peer did not do its part. Names no patient.
    #[error("{0}")]
    Remote(String),
    /// The system refused the threads of the pool.
    #[error("computing threads cannot be started: {0}")]
    Pool(#[source] rayon::ThreadPoolBuildError),
}

/// What the functions of this crate give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether trying again cannot help: what is stored, or what was asked for, stays what it is.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => match error.kind {
                ErrorKind::NotFound
                | ErrorKind::Invalid
                | ErrorKind::Conflict
                | ErrorKind::Forbidden
                | ErrorKind::TooLarge
                | ErrorKind::Corrupt => true,
                ErrorKind::Exhausted | ErrorKind::Unavailable | ErrorKind::Internal => false,
            },
            Self::Pixel(error) => error.is_permanent(),
            Self::UnknownKind(_) | Self::Payload { .. } | Self::GivenUp(_) => true,
            Self::Panicked(_) | Self::TimeLimit(_) | Self::Remote(_) | Self::Pool(_) => false,
        }
    }
}
