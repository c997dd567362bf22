//! What can go wrong between us and a peer.

use std::io;
use std::time::Duration;

use crate::dimse::Status;
use crate::ul::{AbortReason, Rejection};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an association, or a request for one, ended other than by release.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Says its cause itself, so that it is no source: who prints both would say it twice.
    #[error("connection failed: {0}")]
    Io(io::Error),
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the peer sent {bytes} bytes of a message in {seconds} s, that is too slow")]
    Slow { bytes: u64, seconds: u64 },
    #[error("the peer aborted the association (source {source_code}, reason {reason})")]
    Aborted { source_code: u8, reason: u8 },
    /// The peer broke PS3.8 or PS3.7; it is told by an A-ABORT with this reason.
    #[error("the peer broke the protocol: {what}")]
    Protocol { reason: AbortReason, what: &'static str },
    /// Without TLS there is no association, and never one in clear text instead.
    #[error("{0}")]
    Tls(String),
    #[error("the association was rejected ({0})")]
    Rejected(Rejection),
    /// The peer answered a request of ours with a failure.
    #[error("the peer answered a {operation} with {status}")]
    Refused { operation: &'static str, status: Status },
    /// A setting that cannot hold, or a file that it names.
    #[error("{0}")]
    Settings(String),
    /// We cannot go on (an object cannot be read to its end, the server stops).
    #[error("{0}")]
    GivenUp(String),
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl Error {
    pub(crate) fn protocol(reason: AbortReason, what: &'static str) -> Self {
        Self::Protocol { reason, what }
    }

    /// Whether the association is already gone, so that nothing can be sent on it any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Closed | Self::Aborted { .. } | Self::Tls(_))
    }
}
