//! DIMSE for filmless: the upper layer (PS3.8), the message layer (PS3.7) and the services on top (PS3.4).
//!
//! - [`ul`]: associations over a byte stream;
//! - [`dimse`]: commands and status codes;
//! - [`Server`]: the services that peers use, each a file under `scp`;
//! - [`echo`] and what lies beside it under `scu`: the services of peers that we use;
//! - [`Peers`]: the table of remote AEs;
//! - [`DimseRemotes`]: what they do for the rest of the server.

mod commitment;
mod config;
mod destination;
pub mod dimse;
mod error;
mod fetch;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod incoming;
mod lane;
mod outgoing;
mod pace;
mod peers;
mod remotes;
mod scp;
mod scu;
mod senders;
pub mod ul;

pub use config::{Config, Tls, Trust, User, UserIdentityPolicy};
pub use dicom_store::Peer;
pub use error::{Error, Result};
pub use peers::Peers;
pub use remotes::DimseRemotes;
pub use scp::Server;
pub use scu::echo;
