//! What filmless computes, and what it does by itself: pixels, thumbnails, jobs.
//!
//! - [`pool`]: the computing threads, behind a future;
//! - [`pixel`]: frames → samples → pictures, pure functions;
//! - [`render`]: a frame as an image file.

pub mod error;
pub mod pixel;
pub mod pool;
pub mod render;

pub use error::{Error, Result};
pub use pool::{CpuPool, Panicked};
