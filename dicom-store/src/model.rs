//! The words of the archive: identifiers, data sets, headers, frames.
//!
//! Pure: nothing here waits, opens a file or knows the rest of the crate. The
//! protocol crates build on it too, below the level at which an archive exists.

mod ae_title;
mod attributes;
mod charset;
mod comment;
pub mod correction;
mod day_times;
mod element;
mod error;
mod file_set;
mod fold;
mod frames;
mod group_frames;
mod header;
mod instance;
mod narrow;
mod numbers;
mod part10;
mod person;
mod phi;
mod pieces;
mod read;
mod scan;
mod source;
pub mod transfer_syntax;
mod uid;
mod write;

pub use dicom::core::{Tag, VR};

pub use ae_title::AeTitle;
pub use attributes::Attributes;
pub use charset::{CharacterSet, TextEncoding, TextReading, TextRule};
pub use comment::error_comment;
pub use correction::Correction;
pub use day_times::DayTimes;
pub use element::{Bulk, Element, Value, implicit_vr};
pub use error::{Error, ErrorKind, Result};
pub use file_set::FileSet;
pub use fold::{fold, is_apostrophe, marked, parts_words};
pub use frames::{BitRange, FrameBytes, FrameMap, FrameNumber};
pub use group_frames::{has_whole_chrominance, why_no_frame};
pub use header::{Header, Hole};
pub use instance::{Instance, Level, Location, PackId, Resource};
pub use part10::{FileMeta, PREAMBLE_LENGTH};
pub use person::{PatientKey, PersonName};
pub use phi::Phi;
pub use pieces::{Piece, pieces};
pub use scan::{Scanned, scan};
pub use source::Source;
pub use transfer_syntax::{Codec, Encoding, TransferSyntax};
pub use uid::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransactionUid, TransferSyntaxUid,
};
