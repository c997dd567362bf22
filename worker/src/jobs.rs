//! The kinds of work that come with this crate.

pub mod bring_over;
pub(crate) mod came;
pub mod complete;
pub mod forward;
pub mod notify;
pub mod packs;
pub mod prefetch;
pub mod retrieve;
pub mod thumbnail;
mod turns;
pub mod web_rendition;
pub mod webhook;

pub use bring_over::BringOver;
pub(crate) use complete::to_json;
pub use complete::{AssociationEnded, Committed, Completion, Quiet, StepPerformed};
pub use forward::Forward;
pub use notify::Notify;
pub use packs::{CompressPack, TidyPacks, VerifyPack};
pub use prefetch::Prefetching;
pub use retrieve::Retrieve;
pub use thumbnail::Thumbnail;
pub use web_rendition::WebRendition;
pub use webhook::Webhook;
