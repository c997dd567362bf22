//! What speaks for a study being complete.

use dicom_store::model::{AeTitle, SopInstanceUid, StudyInstanceUid, TransactionUid};
use serde::{Deserialize, Serialize};

/// Why a study counts as complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The association that brought the last of it has ended.
    AssociationEnded { calling: AeTitle },
    /// Nothing has come for so many seconds.
    Quiet { seconds: u64 },
    /// Somebody has asked us to commit ourselves to all of it, and it is kept as it came (PS3.4 Annex J).
    Commitment { calling: AeTitle, transaction: TransactionUid },
    /// As many are here as whoever made it says there are: Number of Study Related Instances (0020,1208) of one of them.
    ExpectedCount { count: u64 },
    /// A modality says that a procedure step is completed, and of all that it has made what is of this study is here (PS3.4
    /// Annex F).
    #[serde(rename = "mpps")]
    PerformedProcedureStep { calling: AeTitle, step: SopInstanceUid },
}

/// The kinds of evidence, as a rule names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    AssociationEnded,
    Quiet,
    Commitment,
    ExpectedCount,
    #[serde(rename = "mpps")]
    PerformedProcedureStep,
}

impl Evidence {
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::AssociationEnded { .. } => EvidenceKind::AssociationEnded,
            Self::Quiet { .. } => EvidenceKind::Quiet,
            Self::Commitment { .. } => EvidenceKind::Commitment,
            Self::ExpectedCount { .. } => EvidenceKind::ExpectedCount,
            Self::PerformedProcedureStep { .. } => EvidenceKind::PerformedProcedureStep,
        }
    }
}

/// What is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Completed {
    pub study: StudyInstanceUid,
    pub instances: u64,
    /// The first piece, with so many instances.
    pub evidence: Evidence,
    /// Those that came later. A version that does not know them leaves them out.
    #[serde(default)]
    pub further: Vec<Evidence>,
    /// What these instances are: a digest over their UIDs and data sets. Empty where an older version wrote the line, which
    /// knew them by their number.
    #[serde(default)]
    pub mark: String,
    /// Whether what was new of them was fetched from a peer by ourselves; not told by an older version.
    #[serde(default)]
    pub fetched: Option<bool>,
    /// When the newest of them came, in milliseconds since 1970.
    #[serde(default)]
    pub newest: u64,
}

impl Completed {
    /// Whether it tells of so many instances that have this mark.
    pub(crate) fn is_of(&self, instances: u64, mark: &str) -> bool {
        self.instances == instances && (self.mark.is_empty() || self.mark == mark)
    }

    /// All pieces, in the order in which they came.
    pub fn all(&self) -> impl Iterator<Item = &Evidence> {
        std::iter::once(&self.evidence).chain(&self.further)
    }
}
