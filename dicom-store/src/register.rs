//! The register: what the server was told while it runs, and what it has noted for itself, as JSON by kind and name.
//!
//! Peers, senders that nobody has named, and how far work has come that goes on for days. None of it is in the packs: it
//! stays when the index is made anew.

/// A line of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub name: String,
    /// JSON.
    pub body: String,
    /// When it was written first, in milliseconds since 1970.
    pub made: u64,
    /// When it was written last.
    pub written: u64,
    /// How often.
    pub times: u64,
}

/// A line that is to be written, in the place of one of this kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: &'static str,
    pub name: String,
    /// JSON.
    pub body: String,
    /// How often that has happened which it tells of, since it was written before.
    pub times: u64,
}

impl Entry {
    /// One that is written once.
    pub fn new(kind: &'static str, name: impl Into<String>, body: impl Into<String>) -> Self {
        Self { kind, name: name.into(), body: body.into(), times: 1 }
    }
}
