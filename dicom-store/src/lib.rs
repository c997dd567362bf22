//! The archive: what is received is kept, found and handed out here, and nowhere else.
//!
//! [`model`] holds the words: identifiers, data sets, headers, frames.

pub mod model;

pub use model::{Error, ErrorKind, Result};
