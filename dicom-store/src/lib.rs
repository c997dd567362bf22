//! The archive: what is received is kept, found and handed out here, and nowhere else.
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | the words: identifiers, data sets, headers, frames; pure |
//! | [`ingest`] | the write path: bytes to an instance |
//! | `packs` | the log: tar files of Part 10 files, one writer, one sync for a group |
//! | [`Upkeep`] | packs through their life: gathered, rewritten, verified |
//! | `objects` | sealed packs and derived images, in an object store |
//! | [`Rendition`] | frames once more, for the web |
//! | [`index`] | what is known of the instances, to be found without opening one |
//! | [`query`] | one question, for C-FIND and QIDO-RS alike |
//! | [`ledger`] | what is done to it beyond storing: corrections, deletions, the way back |
//! | [`Session`] | the only door; [`access`] says who may |
//! | [`peer`], [`register`] | remote AEs; what the server is told and notes while it runs |
//! | [`workitem`], [`performed_step`] | lines of the register with a life of their own: what is to be done, what is being done |
//! | [`change`], [`queue`], [`Work`] | what happened, and what has to happen because of it |

pub mod access;
mod archive;
mod buffers;
pub mod change;
mod config;
#[cfg(feature = "fixtures")]
pub mod fixture;
mod health;
mod hex;
pub mod index;
mod inflate;
pub mod ingest;
pub mod ledger;
pub mod model;
mod node;
mod objects;
mod outbox;
mod packs;
pub mod peer;
pub mod performed_step;
pub mod query;
pub mod queue;
mod reach;
pub mod register;
mod rendition;
mod requirements;
mod session;
mod subscriber;
mod upkeep;
mod work;
pub mod workitem;

pub use access::{Caller, Subject};
pub use archive::Archive;
pub use change::{Change, ChangeKind, Changes, Cursor};
pub use config::{Config, Durability, IndexUrl, OnConflict, S3, Secret, TextSource};
pub use index::{
    AuditRow, DamageQuery, DamagedInstance, Described, Hidden, InstanceState, KeptAside, Recorded, StudyText,
    TextCount, TextQuery,
};
pub use ingest::{Arrival, Declared, Incoming, Origin, Stored};
pub use ledger::{Order, Part};
pub use model::{Error, ErrorKind, Result};
pub use objects::DerivedKey;
pub use packs::ahead::ReadAhead;
pub use packs::compress::Compression;
pub use packs::damage::{Damaged, DamagedStretch, Holds, LostAct};
pub use packs::file_part::FilePart;
pub use packs::serving::{Pressure, Room};
pub use packs::verify::Verified;
pub use peer::{Peer, PeerRight, PeerRights, PeerText, Sender};
pub use performed_step::{PerformedProcedureStep, PerformedStepRefusal, PerformedStepStatus};
pub use query::{Counted, Key, Matching, Options, Page, Query, Row, Rows};
pub use queue::{JobId, Lease, NewJob, Priority, QueueDepth};
pub use rendition::Rendition;
pub use session::{FrameStream, Proof, RenditionWriter, STEP, Session};
pub use subscriber::{Filter, Subscription};
pub use upkeep::{AllVerified, Due, PackReport, Upkeep};
pub use work::Work;
pub use workitem::{Reached, StepEvent, StepRefusal, StepReport, StepState, Workitem};
