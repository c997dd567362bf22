//! The power goes at every step of the write path, and every step fails once: what was answered is there
//! afterwards, whole, and nothing half is seen.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod damage;
mod disk;
mod failing;
mod life;
mod overlap;
mod power;
