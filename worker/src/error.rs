//! What can go wrong in the worker.

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
    /// A row of the queue holds what no job here understands.
    #[error("job of kind {kind} cannot be read: {source}")]
    Payload {
        /// The kind the row names.
        kind: String,
        /// Why its payload is not that of this kind.
        source: serde_json::Error,
    },
    /// The system refused the threads of the pool.
    #[error("computing threads cannot be started: {0}")]
    Pool(#[source] rayon::ThreadPoolBuildError),
}

/// What the functions of this crate give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;
