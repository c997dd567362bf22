//! Which SOP classes are served, and how (PS3.4, PS3.6 Annex A).

use dicom::dictionary_std::uids;
use dicom_store::model::{Encoding, TransferSyntaxUid, transfer_syntax};
use dicom_ul::pdu::AssociationRQ;
use worker::pixel;

use crate::commitment::STORAGE_COMMITMENT;
use crate::config::Config;
use crate::ul::{Service, Services, common_extended, lesser};

pub(super) const VERIFICATION: &str = "1.2.840.10008.1.1";

/// The two query/retrieve information models (PS3.4 §C.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    PatientRoot,
    StudyRoot,
}

/// What a presentation context is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Verification,
    Storage,
    Commitment,
    /// Modality Performed Procedure Step: made and changed.
    PerformedStep,
    /// Modality Performed Procedure Step Retrieve: read.
    PerformedStepRetrieve,
    Find(Model),
    Move(Model),
    Get(Model),
}

/// The acceptor's side of the negotiation.
#[derive(Debug, Clone, Default)]
pub(super) struct Offered {
    pub accept_unknown_storage: bool,
    pub accept_unknown_transfer_syntaxes: bool,
    /// Classes that we do not know, and that the requestor says to be special kinds of some that we store (PS3.7
    /// §D.3.3.6).
    pub related_storage: Vec<String>,
}

/// The Storage Service Class, as a service class (PS3.6 Table A-1).
const STORAGE_SERVICE_CLASS: &str = "1.2.840.10008.4.2";

/// All UIDs that DICOM registers itself begin with this (PS3.6 Annex A).
const STANDARD: &str = "1.2.840.10008.";
/// SOP classes of the Storage Service Class, those of later editions too (PS3.4 §B.5).
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";
/// Objects of a study that are registered elsewhere: RT delivery instructions (PS3.4 §B.5). Those that belong
/// to no study (hanging protocols, colour palettes, implant templates) are not taken: the archive keeps
/// studies.
const OTHER_STORAGE: [&str; 3] =
    ["1.2.840.10008.5.1.4.34.1", "1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.34.10"];
/// Queries, retrieves and what else is registered among the storage classes and is none of them: protocol approval and
/// inventories (PS3.4 Annexes II and JJ).
const NO_STORAGE: [&str; 8] = [
    "1.2.840.10008.5.1.4.1.1.200.4",
    "1.2.840.10008.5.1.4.1.1.200.5",
    "1.2.840.10008.5.1.4.1.1.200.6",
    "1.2.840.10008.5.1.4.1.1.201.2",
    "1.2.840.10008.5.1.4.1.1.201.3",
    "1.2.840.10008.5.1.4.1.1.201.4",
    "1.2.840.10008.5.1.4.1.1.201.5",
    "1.2.840.10008.5.1.4.1.1.201.6",
];
/// Transfer syntaxes that DICOM registers are this and below it (PS3.6 Table A-1).
const TRANSFER_SYNTAXES: &str = transfer_syntax::IMPLICIT_LITTLE;

/// C-FIND: relational queries, combined date and time, fuzzy matching of names; no time zone adjustment, no multi-frame
/// conversion; empty value matching (PS3.4 Table C.5-1).
const FIND_EXTENDED: &[u8] = &[1, 1, 1, 0, 0, 1];
/// C-MOVE and C-GET: no relational retrieval, no conversion (PS3.4 §C.5.2.1, §C.5.3.1).
const RETRIEVE_EXTENDED: &[u8] = &[0, 0];
/// Level 2, all attributes are kept; no digital signatures; nothing is coerced (PS3.4 Table B.3-1).
const STORAGE_EXTENDED: &[u8] = &[2, 0, 0, 0, 0, 0];

impl Offered {
    /// What the settings offer, to whoever asks so.
    pub(super) fn to(request: &AssociationRQ, config: &Config) -> Self {
        let mut offered = Self {
            accept_unknown_storage: config.accept_unknown_storage,
            accept_unknown_transfer_syntaxes: config.accept_unknown_transfer_syntaxes,
            related_storage: Vec::new(),
        };
        let is_stored = |uid: &String| offered.purpose(uid) == Some(Purpose::Storage);
        let special = common_extended(request).into_iter().filter(|special| {
            special.service_class == STORAGE_SERVICE_CLASS && special.related.iter().any(is_stored)
        });
        offered.related_storage = special.map(|special| special.sop_class).collect();
        offered
    }

    /// What an abstract syntax is for; `None` when it is not supported.
    pub(super) fn purpose(&self, abstract_syntax: &str) -> Option<Purpose> {
        Some(match abstract_syntax {
            VERIFICATION => Purpose::Verification,
            STORAGE_COMMITMENT => Purpose::Commitment,
            uids::MODALITY_PERFORMED_PROCEDURE_STEP => Purpose::PerformedStep,
            uids::MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE => Purpose::PerformedStepRetrieve,
            "1.2.840.10008.5.1.4.1.2.1.1" => Purpose::Find(Model::PatientRoot),
            "1.2.840.10008.5.1.4.1.2.1.2" => Purpose::Move(Model::PatientRoot),
            "1.2.840.10008.5.1.4.1.2.1.3" => Purpose::Get(Model::PatientRoot),
            "1.2.840.10008.5.1.4.1.2.2.1" => Purpose::Find(Model::StudyRoot),
            "1.2.840.10008.5.1.4.1.2.2.2" => Purpose::Move(Model::StudyRoot),
            "1.2.840.10008.5.1.4.1.2.2.3" => Purpose::Get(Model::StudyRoot),
            uid if NO_STORAGE.contains(&uid) => return None,
            uid if uid.starts_with(STORAGE) || OTHER_STORAGE.contains(&uid) => Purpose::Storage,
            "" => return None,
            uid if self.related_storage.iter().any(|related| related == uid) => Purpose::Storage,
            uid if uid.starts_with(STANDARD) => return None,
            _ if self.accept_unknown_storage => Purpose::Storage,
            _ => return None,
        })
    }
}

impl Services for Offered {
    fn service(&self, abstract_syntax: &str) -> Option<Service> {
        Some(match self.purpose(abstract_syntax)? {
            Purpose::Storage => Service::Storage,
            Purpose::Commitment => Service::Events,
            Purpose::Verification
            | Purpose::PerformedStep
            | Purpose::PerformedStepRetrieve
            | Purpose::Find(_)
            | Purpose::Move(_)
            | Purpose::Get(_) => Service::Messages,
        })
    }

    /// Those of later editions too: they have all been Explicit VR Little Endian (PS3.5 §A.4). A private
    /// one may be anything, so that it cannot be read back.
    fn knows(&self, transfer_syntax: &str) -> bool {
        let below = transfer_syntax.strip_prefix(TRANSFER_SYNTAXES);
        self.accept_unknown_transfer_syntaxes
            || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn makes(&self, transfer_syntax: &str) -> bool {
        let syntax = TransferSyntaxUid::parse(transfer_syntax).ok();
        // JPEG Baseline loses something, and big endian is only sent as it is stored.
        syntax.is_some_and(|syntax| {
            pixel::can_encode(&syntax)
                && !syntax.is(transfer_syntax::JPEG_BASELINE)
                && syntax.facts().encoding != Encoding::ExplicitBig
        })
    }

    fn extended(&self, abstract_syntax: &str, offered: &[u8]) -> Option<Vec<u8>> {
        match self.purpose(abstract_syntax)? {
            Purpose::Verification
            | Purpose::Commitment
            | Purpose::PerformedStep
            | Purpose::PerformedStepRetrieve => None,
            // What we do is told whatever the requestor does (PS3.4 §B.3.1).
            Purpose::Storage => Some(STORAGE_EXTENDED.iter().copied().take(offered.len()).collect()),
            Purpose::Find(_) => Some(lesser(offered, FIND_EXTENDED)),
            Purpose::Move(_) | Purpose::Get(_) => Some(lesser(offered, RETRIEVE_EXTENDED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::UserVariableItem;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::verification("1.2.840.10008.1.1", Some(Purpose::Verification))]
    #[case::ct("1.2.840.10008.5.1.4.1.1.2", Some(Purpose::Storage))]
    #[case::of_a_later_edition("1.2.840.10008.5.1.4.1.1.999.7", Some(Purpose::Storage))]
    #[case::private("1.3.12.2.1107.5.9.1", Some(Purpose::Storage))]
    #[case::rt_beams_delivery("1.2.840.10008.5.1.4.34.7", Some(Purpose::Storage))]
    #[case::protocol_approval("1.2.840.10008.5.1.4.1.1.200.3", Some(Purpose::Storage))]
    #[case::find_of_protocol_approvals("1.2.840.10008.5.1.4.1.1.200.4", None)]
    #[case::inventory("1.2.840.10008.5.1.4.1.1.201.1", Some(Purpose::Storage))]
    #[case::repository_query("1.2.840.10008.5.1.4.1.1.201.6", None)]
    #[case::hanging_protocol("1.2.840.10008.5.1.4.38.1", None)]
    #[case::study_root_find("1.2.840.10008.5.1.4.1.2.2.1", Some(Purpose::Find(Model::StudyRoot)))]
    #[case::patient_root_get("1.2.840.10008.5.1.4.1.2.1.3", Some(Purpose::Get(Model::PatientRoot)))]
    #[case::unknown_query("1.2.840.10008.5.1.4.1.2.9.9.9", None)]
    #[case::worklist("1.2.840.10008.5.1.4.31", None)]
    #[case::mpps("1.2.840.10008.3.1.2.3.3", Some(Purpose::PerformedStep))]
    #[case::mpps_retrieve("1.2.840.10008.3.1.2.3.4", Some(Purpose::PerformedStepRetrieve))]
    #[case::mpps_notification("1.2.840.10008.3.1.2.3.5", None)]
    #[case::storage_commitment("1.2.840.10008.1.20.1", Some(Purpose::Commitment))]
    #[case::storage_commitment_pull("1.2.840.10008.1.20.2", None)]
    #[case::print("1.2.840.10008.5.1.1.9", None)]
    #[case::media_directory("1.2.840.10008.1.3.10", None)]
    #[case::nothing("", None)]
    fn each_sop_class_has_its_purpose(#[case] uid: &str, #[case] purpose: Option<Purpose>) {
        let offered = Offered { accept_unknown_storage: true, ..Offered::default() };
        assert_eq!(offered.purpose(uid), purpose);
    }

    #[rstest]
    #[case(true, Some(Purpose::Storage))]
    #[case(false, None)]
    fn private_classes_are_archived_by_policy(#[case] policy: bool, #[case] purpose: Option<Purpose>) {
        let offered = Offered { accept_unknown_storage: policy, ..Offered::default() };
        assert_eq!(offered.purpose("1.3.12.2.1107.5.9.1"), purpose);
    }

    #[rstest]
    #[case::of_ct(STORAGE_SERVICE_CLASS, "1.2.840.10008.5.1.4.1.1.2", Some(Purpose::Storage))]
    #[case::of_what_is_not_stored(STORAGE_SERVICE_CLASS, "1.2.840.10008.5.1.1.9", None)]
    #[case::of_another_service("1.2.840.10008.4.3", "1.2.840.10008.5.1.4.1.1.2", None)]
    fn a_special_kind_of_a_class_that_is_stored_is_stored(
        #[case] service_class: &str,
        #[case] related: &str,
        #[case] purpose: Option<Purpose>,
    ) {
        let counted =
            |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        let list = counted(related);
        let mut value = [counted("1.3.12.2.1107.5.9.1"), counted(service_class)].concat();
        value.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        value.extend(list);
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: String::new(),
            called_ae_title: String::new(),
            application_context_name: String::new(),
            presentation_contexts: Vec::new(),
            user_variables: vec![UserVariableItem::Unknown(0x57, value)],
        };
        let config = Config { accept_unknown_storage: false, ..Config::default() };
        assert_eq!(Offered::to(&request, &config).purpose("1.3.12.2.1107.5.9.1"), purpose);
    }

    #[rstest]
    #[case("1.2.840.10008.1.2", true)]
    #[case("1.2.840.10008.1.2.1", true)]
    #[case("1.2.840.10008.1.2.4.70", true)]
    #[case("1.2.840.10008.1.2.4.201", true)]
    #[case("1.2.840.10008.1.2.5", true)]
    #[case::loses("1.2.840.10008.1.2.4.50", false)]
    #[case::video("1.2.840.10008.1.2.4.102", false)]
    #[case::deflated("1.2.840.10008.1.2.1.99", false)]
    #[case::big_endian("1.2.840.10008.1.2.2", false)]
    #[case::none("no uid", false)]
    fn objects_are_sent_in_syntaxes_that_lose_nothing(#[case] uid: &str, #[case] expected: bool) {
        assert_eq!(Offered::default().makes(uid), expected);
    }

    #[rstest]
    #[case("1.2.840.10008.1.2", true)]
    #[case("1.2.840.10008.1.2.2", true)]
    #[case("1.2.840.10008.1.2.1.99", true)]
    #[case("1.2.840.10008.1.2.5", true)]
    #[case("1.2.840.10008.1.2.4.201", true)]
    #[case("1.2.840.10008.1.2.4.999", true)]
    #[case("1.2.840.10008.1.20", false)]
    #[case("1.2.840.113619.5.2", false)]
    #[case("1.2.3.4.5.6.7", false)]
    fn objects_come_in_syntaxes_that_can_be_read_back(#[case] uid: &str, #[case] expected: bool) {
        let offered = Offered { accept_unknown_storage: true, ..Offered::default() };
        assert_eq!(offered.knows(uid), expected);
        assert!(Offered { accept_unknown_transfer_syntaxes: true, ..offered }.knows(uid));
    }
}
