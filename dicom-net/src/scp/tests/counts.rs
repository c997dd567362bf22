//! What a query counts: every instance once, and never half of one that is being stored.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dicom::dictionary_std::tags;
use dicom_store::fixture::{Sample, ct};
use dicom_store::model::{Attributes, Tag, VR};
use tokio::task::JoinSet;

use super::peer::{CT, EXPLICIT, FIND, IMPLICIT, Peer, serve};
use super::services::{find_message, identifier, store_message};
use crate::Config;
use crate::dimse::Status;

const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Studies that are stored at the same time, and the instances of each.
const STUDIES: usize = 3;
const INSTANCES: u32 = 40;

/// What of a study has been sent, and what of that has been answered.
#[derive(Default)]
struct Sent {
    begun: AtomicI64,
    answered: AtomicI64,
}

/// Instances of a study in turns of two series, so that the number of instances tells all other counts.
fn in_turns() -> Vec<Sample> {
    let first = ct();
    let second = first.next_series(2).with(tags::MODALITY, VR::CS, "MR");
    (1..=INSTANCES)
        .map(|number| match number {
            1 => first.clone(),
            2 => second.clone(),
            _ if number % 2 == 1 => first.next(number),
            _ => second.next(number),
        })
        .collect()
}

async fn store(mut peer: Peer, samples: &[Sample], sent: &Sent) {
    for sample in samples {
        sent.begun.fetch_add(1, Ordering::SeqCst);
        assert_eq!(peer.ask(&store_message(sample)).await.0.status, Status::SUCCESS);
        sent.answered.fetch_add(1, Ordering::SeqCst);
    }
    peer.release().await;
}

/// The rows of a query, all of which have to be whole.
async fn find(peer: &mut Peer, level: &str, keys: &[(Tag, VR, &str)]) -> Vec<Attributes> {
    peer.send(&find_message(&identifier(level, keys))).await;
    let mut rows = Vec::new();
    loop {
        let (response, row) = peer.response().await;
        if !response.status.is_pending() {
            assert_eq!(response.status, Status::SUCCESS);
            return rows;
        }
        rows.push(row.unwrap());
    }
}

const STUDY_KEYS: [(Tag, VR, &str); 6] = [
    (tags::STUDY_INSTANCE_UID, VR::UI, ""),
    (tags::PATIENT_NAME, VR::PN, ""),
    (tags::STUDY_DATE, VR::DA, ""),
    (tags::MODALITIES_IN_STUDY, VR::CS, ""),
    (tags::NUMBER_OF_STUDY_RELATED_SERIES, VR::IS, ""),
    (tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, ""),
];

/// The row of a study says the same of it in every attribute, and counts what had been answered before it was asked for,
/// and nothing that was sent afterwards.
fn assert_whole(row: &Attributes, possible: &RangeInclusive<i64>) {
    let instances = row.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES).unwrap();
    assert!(possible.contains(&instances), "{instances} instances, {possible:?} are possible");
    assert_eq!(row.int(tags::NUMBER_OF_STUDY_RELATED_SERIES), Some(instances.min(2)), "{row:?}");
    let modalities = if instances == 1 { &["CT"][..] } else { &["CT", "MR"] };
    assert_eq!(row.texts(tags::MODALITIES_IN_STUDY), modalities, "{row:?}");
    assert_eq!(row.text(tags::PATIENT_NAME).as_deref(), Some("NGUYEN^VAN AN"));
    assert_eq!(row.text(tags::STUDY_DATE).as_deref(), Some("20260102"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_while_studies_are_stored_sees_no_half_of_any() {
    let server = serve(Config { open: true, ..Config::default() }).await;
    let studies: Vec<_> = (0..STUDIES).map(|_| (in_turns(), Arc::new(Sent::default()))).collect();
    let mut senders = JoinSet::new();
    for (samples, sent) in &studies {
        let sender = Peer::associate(&server, "CT1", &[(CT, EXPLICIT)]).await;
        let (samples, sent) = (samples.clone(), sent.clone());
        senders.spawn(async move { store(sender, &samples, &sent).await });
    }
    let mut peer = Peer::associate(&server, "WS1", &[(FIND, EXPLICIT)]).await;
    let mut seen_under_way = 0;
    loop {
        // Asked once more when all is there.
        let is_over = senders.is_empty();
        for (samples, sent) in &studies {
            let uid = samples[0].study();
            let before = sent.answered.load(Ordering::SeqCst);
            let mut keys = STUDY_KEYS;
            keys[0].2 = uid.as_str();
            let rows = find(&mut peer, "STUDY", &keys).await;
            let possible = before..=sent.begun.load(Ordering::SeqCst);
            assert!(rows.len() == 1 || rows.is_empty() && before == 0, "{} rows", rows.len());
            rows.iter().for_each(|row| assert_whole(row, &possible));
            seen_under_way += usize::from(!rows.is_empty() && before < i64::from(INSTANCES));

            let of_series = [
                (tags::STUDY_INSTANCE_UID, VR::UI, uid.as_str()),
                (tags::SERIES_INSTANCE_UID, VR::UI, ""),
                (tags::NUMBER_OF_SERIES_RELATED_INSTANCES, VR::IS, ""),
            ];
            let before = sent.answered.load(Ordering::SeqCst);
            let series = find(&mut peer, "SERIES", &of_series).await;
            let possible = before..=sent.begun.load(Ordering::SeqCst);
            let counts: Vec<i64> =
                series.iter().map(|row| row.int(tags::NUMBER_OF_SERIES_RELATED_INSTANCES).unwrap()).collect();
            assert!(counts.iter().all(|count| *count > 0), "a series of nothing: {counts:?}");
            assert!(possible.contains(&counts.iter().sum()), "{counts:?}, {possible:?} are possible");
        }
        if is_over {
            break;
        }
        while let Some(done) = senders.try_join_next() {
            done.unwrap();
        }
    }
    assert!(seen_under_way > 0, "nothing was asked while it was stored");
    peer.release().await;
}

/// PS3.4 Table C.3-1: an alternative encoding is not another instance.
#[tokio::test]
async fn an_instance_that_comes_in_several_encodings_is_counted_once() {
    let server = serve(Config { open: true, ..Config::default() }).await;
    let sample = ct();
    for syntax in [EXPLICIT, IMPLICIT, EXPLICIT_BIG, DEFLATED] {
        let mut peer = Peer::associate(&server, "CT1", &[(CT, syntax)]).await;
        let (response, _) = peer.ask(&store_message(&sample.clone().transfer_syntax(syntax))).await;
        let is_first = syntax == EXPLICIT;
        let expected = if is_first { Status::SUCCESS } else { Status(0xB000) };
        assert_eq!(response.status, expected, "{syntax}");
    }
    let mut peer = Peer::associate(&server, "WS1", &[(FIND, EXPLICIT)]).await;
    let (study, series) = (sample.uid(tags::STUDY_INSTANCE_UID), sample.uid(tags::SERIES_INSTANCE_UID));
    let path = [
        (tags::STUDY_INSTANCE_UID, VR::UI, study.as_str()),
        (tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
    ];
    let counts = [
        tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
        tags::NUMBER_OF_PATIENT_RELATED_SERIES,
        tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
        tags::NUMBER_OF_STUDY_RELATED_SERIES,
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
    ];
    let keys = counts.map(|tag| (tag, VR::IS, ""));
    let rows = find(&mut peer, "STUDY", &[&path[..1], &keys].concat()).await;
    let counted: Vec<_> = counts.iter().map(|tag| rows[0].int(*tag)).collect();
    assert_eq!((rows.len(), counted), (1, vec![Some(1); counts.len()]));
    let of_series = [path[0], path[1], (tags::NUMBER_OF_SERIES_RELATED_INSTANCES, VR::IS, "")];
    let rows = find(&mut peer, "SERIES", &of_series).await;
    assert_eq!(rows[0].int(tags::NUMBER_OF_SERIES_RELATED_INSTANCES), Some(1));
    let of_image = [path[0], path[1], (tags::SOP_INSTANCE_UID, VR::UI, "")];
    assert_eq!(find(&mut peer, "IMAGE", &of_image).await.len(), 1);
    peer.release().await;
}
