//! DIMSE for filmless: the upper layer (PS3.8), the message layer (PS3.7) and the services on top (PS3.4).
//!
//! - [`ul`]: associations over a byte stream;
//! - [`dimse`]: commands and status codes;
//! - [`Server`]: the services that peers use, each a file under `scp`;
//! - [`echo`] and what lies beside it under `scu`: the services of peers that we use;
//! - [`DimseDestination`]: a peer as a place to forward to;
//! - [`Peers`]: the table of remote AEs.

mod commitment;
mod config;
mod destination;
pub mod dimse;
mod error;
mod outgoing;
mod peers;
mod scp;
mod scu;
pub mod ul;

pub use config::Config;
pub use destination::DimseDestination;
pub use error::{Error, Result};
pub use peers::{Peer, Peers};
pub use scp::Server;
pub use scu::echo;
