//! The kinds of work that come with this crate.

pub mod thumbnail;

pub use thumbnail::Thumbnail;
