//! How text is read: counts by sender, and study by study.

use crate::model::{StudyInstanceUid, TextReading};

/// What a sender sent that is read in one way and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextCount {
    /// AE title, or `web`, `import`.
    pub sender: String,
    pub reading: TextReading,
    pub studies: u64,
    pub instances: u64,
    /// Milliseconds since 1970: when the last of them came.
    pub newest: u64,
}

/// What of a study is read in one way and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyText {
    /// Studies are counted as they come.
    pub place: u64,
    pub study: StudyInstanceUid,
    pub sender: String,
    pub reading: TextReading,
    pub instances: u64,
    /// Milliseconds since 1970: when the last of them came.
    pub newest: u64,
}

/// Which studies are asked for: those that have something by this sender that is read in one of these ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextQuery {
    /// Of these; of all where there are none.
    pub studies: Vec<StudyInstanceUid>,
    pub sender: Option<String>,
    pub readings: Vec<TextReading>,
    /// Before this place.
    pub before: Option<u64>,
    /// Studies, at the most.
    pub limit: u32,
}
