//! The server over loopback, as a peer sees it.

mod association;
mod commitment;
mod conformance;
mod counts;
mod operations;
mod peer;
mod services;
