//! The kinds of work that come with this crate.

pub mod packs;
pub mod thumbnail;

pub use packs::{TidyPacks, VerifyPack};
pub use thumbnail::Thumbnail;
