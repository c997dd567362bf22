//! The write path: how bytes become an instance.
//!
//! | step | what holds afterwards | after a crash here |
//! |---|---|---|
//! | [`Incoming::write`] | bytes in memory, or in a file of the log's `arriving` folder | gone; nobody was answered |
//! | [`Reading`] | header, frame map and identifiers are known; the object is refused here or never | gone |
//! | `packs::writer` | the bytes and their digest are synced in the log | replayed from the log |
//! | `Index::commit` | rows are visible, the mark has moved | replayed from the log |
//! | answer | the sender may forget the instance | it is there |

mod acting;
mod body;
mod budget;
mod incoming;
mod reading;
mod sources;
mod to_its_end;

use std::net::IpAddr;

use crate::model::{AeTitle, Instance, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};

pub(crate) use budget::Budget;
pub use incoming::Incoming;
pub(crate) use incoming::{Store, UnderWay};
pub(crate) use reading::Reading;
pub(crate) use sources::Sources;

/// An instance that is about to come.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub origin: Origin,
    pub declared: Declared,
}

/// Where an instance comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    Dimse {
        calling: AeTitle,
        called: AeTitle,
        address: IpAddr,
    },
    Web {
        address: Option<IpAddr>,
    },
    /// Files that this server was told to read.
    Import,
}

/// What is known of it before its first byte.
#[derive(Debug, Clone)]
pub enum Declared {
    /// A bare data set, as C-STORE carries it; the file meta information is made from this (PS3.10 §7.1).
    DataSet { sop_class: SopClassUid, sop_instance: SopInstanceUid, transfer_syntax: TransferSyntaxUid },
    /// A Part 10 file, kept byte for byte with its own preamble and meta information. `study`: the
    /// only study that it may belong to.
    File { study: Option<StudyInstanceUid> },
}

/// What became of an instance. In all cases it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    New(Instance),
    /// New as well, in a study that is another patient's than the one it names: it is told as that patient's.
    Stranger(Instance),
    /// New as well, and hidden: a note had rejected it before it came.
    Rejected(Instance),
    /// It was there already, with the same data set.
    Same(Instance),
    /// Another data set is there under its UID. Both are kept; the first is shown, unless the newcomer takes its place.
    Conflict {
        kept: Instance,
        /// The newcomer is shown from now on: the settings want that, or the first was deleted.
        is_replaced: bool,
    },
}

impl Stored {
    /// The instance under the UID; of several the first.
    pub fn instance(&self) -> &Instance {
        match self {
            Self::New(instance)
            | Self::Stranger(instance)
            | Self::Rejected(instance)
            | Self::Same(instance)
            | Self::Conflict { kept: instance, .. } => instance,
        }
    }

    /// Whether it was not there before.
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New(_) | Self::Stranger(_) | Self::Rejected(_))
    }
}

impl Origin {
    /// The name that the index keeps of a sender: an AE title, or the way it came.
    pub(crate) fn sender(&self) -> String {
        match self {
            Self::Dimse { calling, .. } => calling.to_string(),
            Self::Web { .. } => "web".to_owned(),
            Self::Import => "import".to_owned(),
        }
    }

    pub(crate) fn calling(&self) -> Option<&AeTitle> {
        match self {
            Self::Dimse { calling, .. } => Some(calling),
            _ => None,
        }
    }
}
