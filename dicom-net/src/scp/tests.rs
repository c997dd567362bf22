//! The server over loopback, as a peer sees it.

mod association;
mod peer;
mod services;
