//! Keys of a query that are about instances and stand in no data set (PS3.4 §C.4.1.1.3).

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::{Attributes, Tag, VR};

use super::peer::{EXPLICIT, FIND, Peer, Running, serve};
use super::services::{find_message, identifier, known};
use crate::dimse::Status;

/// The answers to a question at the IMAGE level, with their status.
async fn found(server: &Running, of: &Sample, key: (Tag, VR, &str)) -> Vec<(Status, Attributes)> {
    let (study, series) = (of.study(), of.uid(tags::SERIES_INSTANCE_UID));
    let keys = [
        (tags::STUDY_INSTANCE_UID, VR::UI, study.as_str()),
        (tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
        key,
    ];
    let mut peer = Peer::associate(server, "WS1", &[(FIND, EXPLICIT)]).await;
    peer.send(&find_message(&identifier("IMAGE", &keys))).await;
    let mut found = Vec::new();
    while let (response, Some(row)) = peer.response().await {
        found.push((response.status, row));
    }
    found
}

#[tokio::test]
async fn an_instance_says_in_which_transfer_syntax_it_is_available() {
    let server = serve(known()).await;
    let sample = ct();
    fixture::store(&server.session(), &sample).await.unwrap();
    for (asked, answers) in [("", 1), (EXPLICIT, 1), ("1.2.840.10008.1.2.4.70", 0)] {
        let found = found(&server, &sample, (tags::AVAILABLE_TRANSFER_SYNTAX_UID, VR::UI, asked)).await;
        assert_eq!(found.len(), answers, "{asked}");
        for (status, row) in found {
            assert_eq!(status, Status::PENDING);
            assert_eq!(row.uid(tags::AVAILABLE_TRANSFER_SYNTAX_UID), Some(EXPLICIT));
        }
    }
}

#[tokio::test]
async fn what_no_data_set_has_is_left_out_and_said_so() {
    let server = serve(known()).await;
    let sample = ct();
    fixture::store(&server.session(), &sample).await.unwrap();
    let key = (tags::RETRIEVE_URL, VR::UR, "http://here/");
    let found = found(&server, &sample, key).await;
    let [(status, row)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(*status, Status::PENDING_WITH_WARNING);
    assert!(!row.contains(tags::RETRIEVE_URL));
}
