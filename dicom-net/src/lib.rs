//! DIMSE for filmless: the upper layer (PS3.8), the message layer (PS3.7) and the services on top (PS3.4).

pub mod dimse;
mod error;
pub mod ul;

pub use error::{Error, Result};
