//! What the index knows of an instance, and how things are addressed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    Correction, Error, Result, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid,
    TransferSyntaxUid,
};

/// Query/Retrieve levels (PS3.4 §C.3.1), from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Patient,
    Study,
    Series,
    Instance,
}

impl Level {
    /// The value of Query/Retrieve Level (0008,0052).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Instance => "IMAGE",
        }
    }
}

impl FromStr for Level {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "PATIENT" => Ok(Self::Patient),
            "STUDY" => Ok(Self::Study),
            "SERIES" => Ok(Self::Series),
            "IMAGE" => Ok(Self::Instance),
            _ => Err(Error::invalid("query/retrieve level is none of PATIENT, STUDY, SERIES, IMAGE")),
        }
    }
}

/// A part of the archive, as a URL or the unique keys of a retrieve name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Every study of one patient (PS3.4 §C.4.2.2.1). Without an issuer, of the only one with this Patient ID.
    Patient {
        id: String,
        issuer: Option<String>,
    },
    Study(StudyInstanceUid),
    Series(StudyInstanceUid, SeriesInstanceUid),
    Instance(StudyInstanceUid, SeriesInstanceUid, SopInstanceUid),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patient { .. } => write!(f, "patient «phi»"),
            Self::Study(study) => write!(f, "study {study}"),
            Self::Series(study, series) => write!(f, "series {series} of study {study}"),
            Self::Instance(_, series, instance) => write!(f, "instance {instance} of series {series}"),
        }
    }
}

/// Number of a pack in the log, counted up from 1 without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackId(pub u64);

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

/// Where the bytes of a Part 10 file lie: a range of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    pub pack: PackId,
    /// First byte of the file within the pack.
    pub offset: u64,
    /// Bytes of the whole Part 10 file.
    pub length: u64,
}

/// A stored instance, with what is needed to serve it without looking at the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub sop_instance: SopInstanceUid,
    pub sop_class: SopClassUid,
    pub transfer_syntax: TransferSyntaxUid,
    /// Instance Number (0020,0013), where it is a number.
    pub number: Option<i64>,
    /// Frames that can be fetched; 0 when there is no pixel data.
    pub frames: u32,
    pub location: Location,
    /// Offset of the data set within the Part 10 file.
    pub data_set: u64,
    /// What holds instead of some of its attributes; the stored object does not have it.
    pub correction: Option<Arc<Correction>>,
}

impl Instance {
    pub fn resource(&self) -> Resource {
        Resource::Instance(self.study.clone(), self.series.clone(), self.sop_instance.clone())
    }

    /// Bytes of the data set as it is stored (deflated, where the transfer syntax says so).
    pub fn data_set_length(&self) -> u64 {
        self.location.length.saturating_sub(self.data_set)
    }
}
