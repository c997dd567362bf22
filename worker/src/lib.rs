//! What filmless computes, and what it does by itself: pixels, thumbnails, jobs.
//!
//! | module | what it is |
//! |---|---|
//! | [`pool`] | the threads that compute, behind a future |
//! | [`pixel`] | frames → samples → pictures: pure functions, a crate of its own |
//! | [`render`] | a stored frame → an image file |
//! | [`captions`], `lettering` | whose a picture is, burnt in; words in pictures |
//! | [`drawn`] | thumbnails of what has no frame that can be shown |
//! | [`transcode`] | an instance or a frame in another transfer syntax |
//! | [`softcopy`] | presentation states |
//! | [`frame`] | a frame of a stored instance, with what its data set says of it |
//! | [`job`], [`jobs`] | what a job is; the jobs of this crate |
//! | [`dispatch`] | the change feed → jobs |
//! | `schedule` | what is due because time has passed → jobs |
//! | [`rules`] | what is done with studies that have come |
//! | [`migrate`] | an old archive that comes over |
//! | [`runner`] | takes jobs out of the queue and runs them |
//! | [`background`] | both of these, as the server starts them |
//! | [`commitment`] | what destinations were asked to commit themselves to |
//! | [`destination`] | where instances can be sent; the protocols implement it |
//! | [`hooks`] | programs that are told by HTTP; the web implements it |
//! | [`remote`] | what remote AEs do for us; the protocols implement it |

pub mod background;
pub mod captions;
mod clock;
pub mod commitment;
mod config;
pub mod destination;
mod digest;
pub mod dispatch;
pub mod drawn;
mod error;
pub mod frame;
pub mod hooks;
pub mod job;
pub mod jobs;
mod lettering;
pub mod migrate;
mod orders;
pub mod pool;
mod rate;
pub mod remote;
pub mod render;
pub mod rules;
pub mod runner;
mod schedule;
pub mod softcopy;
pub mod transcode;

pub use background::Awaited;
pub use config::Config;
pub use destination::Destination;
pub use error::{Error, Result};
pub use hooks::Hooks;
pub use job::{Job, Registry};
pub use orders::{Exchange, Orders};
pub use pixel;
pub use pool::{CpuPool, Panicked};
pub use remote::Remotes;
pub use rules::Rule;
