//! The server over loopback, as a peer sees it.

mod association;
mod cancel;
mod commitment;
mod conformance;
mod counts;
mod inquiry;
mod keys;
mod operations;
mod peer;
mod retrieve;
mod services;
mod steps;
