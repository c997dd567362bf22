//! What the archive promises: durable, found, byte for byte, never overwritten.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use std::fs;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, archive, config, ct, store, system};
use dicom_store::model::{FrameNumber, Level, Resource, TextEncoding, TextRule, VR, transfer_syntax};
use dicom_store::{
    Archive, Arrival, Caller, Config, Declared, ErrorKind, Key, Order, Origin, Part, Query, Session, Stored,
    Subject, TextCount, TextSource,
};
use futures_util::{StreamExt, TryStreamExt};

async fn bytes_of(session: &Session, stored: &Stored) -> Vec<u8> {
    session
        .open(stored.instance())
        .try_fold(Vec::new(), |mut all, part| async move {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await
        .unwrap()
}

async fn studies(session: &Session, keys: &[(dicom_store::model::Tag, VR, &str)]) -> Vec<String> {
    let mut query = Query::new(Level::Study);
    query.keys = keys.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap()).collect();
    let rows: Vec<_> = session.search(&query).await.unwrap().try_collect().await.unwrap();
    rows.iter().map(|row| row.attributes.uid(tags::STUDY_INSTANCE_UID).unwrap().to_owned()).collect()
}

fn file_arrival() -> Arrival {
    Arrival { origin: Origin::Web { address: None }, declared: Declared::File { study: None } }
}

async fn store_file(session: &Session, file: &[u8]) -> dicom_store::Result<Stored> {
    let mut incoming = session.receive(file_arrival()).await?;
    for part in file.chunks(7_001) {
        incoming.write(Bytes::copy_from_slice(part)).await?;
    }
    incoming.commit().await
}

fn log_packs(config: &Config) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(config.log_folder()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "tar")).collect()
}

#[tokio::test]
async fn what_was_answered_is_found_and_comes_back_byte_for_byte() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = ct().name("Nguyễn^Văn An");
    let stored = store(&session, &sample).await.unwrap();
    assert!(matches!(stored, Stored::New(_)));
    assert_eq!(bytes_of(&session, &stored).await[stored.instance().data_set as usize..], sample.data_set());
    assert_eq!(
        studies(&session, &[(tags::PATIENT_NAME, VR::PN, "nguyen*")]).await,
        [sample.study().as_str()]
    );
    let frame = session.open_frame(stored.instance(), FrameNumber::FIRST).await.unwrap();
    assert_eq!(&frame[..4], [0, 0, 1, 0]);
}

#[tokio::test]
async fn a_file_is_kept_with_its_own_preamble_and_meta_information() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let mut file = ct().file();
    file[..4].copy_from_slice(b"TIFF");
    let stored = store_file(&session, &file).await.unwrap();
    assert_eq!(bytes_of(&session, &stored).await, file);
}

#[tokio::test]
async fn the_same_again_is_kept_once_and_another_under_its_uid_never_replaces_it() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let first = ct();
    store(&session, &first).await.unwrap();
    assert!(matches!(store(&session, &first).await.unwrap(), Stored::Same(_)));
    let other = first.clone().name("OTHER^NAME");
    for _ in 0..2 {
        let answer = store(&session, &other).await.unwrap();
        assert!(
            matches!(&answer, Stored::Conflict { kept, is_replaced: false } if kept.sop_instance == first.sop_instance())
        );
    }
    let elsewhere = first.clone().with(tags::STUDY_INSTANCE_UID, VR::UI, &fixture::uid());
    assert!(matches!(store(&session, &elsewhere).await.unwrap(), Stored::Conflict { .. }));
    let kept = session.instances(&Resource::Study(first.study())).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        session.header(&kept[0]).await.unwrap().attributes().unwrap().text(tags::PATIENT_NAME).unwrap(),
        "NGUYEN^VAN AN"
    );
    assert!(
        studies(&session, &[(tags::STUDY_INSTANCE_UID, VR::UI, elsewhere.study().as_str())]).await.is_empty()
    );
}

#[tokio::test]
async fn the_same_instance_from_many_senders_at_once_is_one() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = ct();
    let answers = futures_util::future::join_all((0..8).map(|_| store(&session, &sample))).await;
    let new = answers.iter().filter(|answer| matches!(answer, Ok(Stored::New(_)))).count();
    assert!(new == 1 && answers.iter().all(Result::is_ok));
    assert_eq!(session.instances(&Resource::Study(sample.study())).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_says_why_and_leaves_nothing() {
    let (archive, folder) = archive().await;
    let session = system(&archive);
    let sample = ct();
    let truncated = &sample.file()[..600];
    let error = store_file(&session, truncated).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let error = store_file(&session, b"GIF89a").await.unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.what.contains("not a DICOM file"));
    let error = store(&session, &ct().without(tags::SERIES_INSTANCE_UID)).await.unwrap_err();
    assert!(error.what.contains("Series Instance UID"));
    assert!(studies(&session, &[]).await.is_empty());
    assert!(fs::read_dir(config(&folder).log_folder().join("arriving")).unwrap().next().is_none());
}

#[tokio::test]
async fn a_data_set_that_is_another_instance_than_declared_is_refused() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let (declared, sent) = (ct(), ct());
    let declared = Declared::DataSet {
        sop_class: declared.sop_class(),
        sop_instance: declared.sop_instance(),
        transfer_syntax: declared.syntax(),
    };
    let origin = Origin::Web { address: None };
    let mut incoming = session.receive(Arrival { origin, declared }).await.unwrap();
    incoming.write(sent.data_set().into()).await.unwrap();
    assert_eq!(incoming.commit().await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_large_instance_goes_to_a_pack_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { inline_size_mib: 1, ..config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let sample = ct().size(1000, 1000);
    let stored = store(&session, &sample).await.unwrap();
    assert_eq!(bytes_of(&session, &stored).await[stored.instance().data_set as usize..], sample.data_set());
    archive.close().await;
    assert!(log_packs(&config).is_empty(), "it is sealed at once");
    let archive = Archive::open(&config).await.unwrap();
    assert_eq!(
        bytes_of(&system(&archive), &stored).await[stored.instance().data_set as usize..],
        sample.data_set()
    );
}

#[tokio::test]
async fn an_index_that_is_lost_is_read_from_the_packs_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { inline_size_mib: 1, pack_size_mib: 1, ..config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let first = ct().size(512, 512);
    let mut samples =
        vec![first.clone(), ct().size(1000, 1000), ct().transfer_syntax(transfer_syntax::DEFLATED)];
    samples.extend((2..8).map(|number| first.next(number)));
    for sample in &samples {
        store(&session, sample).await.unwrap();
    }
    let conflict = first.clone().name("OTHER^NAME");
    store(&session, &conflict).await.unwrap();
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    let session = system(&archive);
    for sample in &samples {
        assert!(matches!(store(&session, sample).await.unwrap(), Stored::Same(_)));
    }
    assert!(matches!(store(&session, &conflict).await.unwrap(), Stored::Conflict { .. }));
    assert_eq!(session.instances(&Resource::Study(first.study())).await.unwrap().len(), 7);
}

/// Stores five instances, stops without any closing, and gives the pack and the samples.
async fn crashed() -> (tempfile::TempDir, Config, Vec<fixture::Sample>) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let first = ct();
    let samples: Vec<_> = std::iter::once(first.clone()).chain((2..6).map(|n| first.next(n))).collect();
    for sample in &samples {
        store(&system(&archive), sample).await.unwrap();
    }
    archive.close().await;
    (folder, config, samples)
}

#[tokio::test]
async fn a_torn_end_is_cut_and_everything_before_it_is_there() {
    let (_folder, config, samples) = crashed().await;
    let pack = log_packs(&config).pop().unwrap();
    let entry = 512 + (samples[0].file().len() as u64 + 16).div_ceil(512) * 512;
    let end = entry * 5;
    // The last entry lost its end: what the disk did not get in time is zero.
    let file = fs::OpenOptions::new().write(true).open(&pack).unwrap();
    file.write_all_at(&[0; 300], end - 600).unwrap();
    drop(file);
    let archive = Archive::reindex(&config).await.unwrap();
    let session = system(&archive);
    assert_eq!(session.instances(&Resource::Study(samples[0].study())).await.unwrap().len(), 4);
    assert!(matches!(store(&session, &samples[4]).await.unwrap(), Stored::New(_)));
    for sample in &samples {
        let stored = store(&session, sample).await.unwrap();
        assert_eq!(
            bytes_of(&session, &stored).await[stored.instance().data_set as usize..],
            sample.data_set()
        );
    }
}

#[tokio::test]
async fn what_the_index_lost_in_a_power_cut_is_read_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let first = ct();
    store(&system(&archive), &first).await.unwrap();
    archive.close().await;
    let index = folder.path().join("index.sqlite");
    let older = fs::read(&index).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    let later = first.next(2);
    store(&system(&archive), &later).await.unwrap();
    archive.close().await;
    fs::write(&index, older).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    assert_eq!(system(&archive).instances(&Resource::Study(first.study())).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_pack_is_a_tar_of_part_10_files() {
    let (_folder, config, samples) = crashed().await;
    let pack = log_packs(&config).pop().unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    let tar = std::process::Command::new("tar")
        .arg("xf")
        .arg(&pack)
        .arg("-C")
        .arg(unpacked.path())
        .status()
        .unwrap();
    assert!(tar.success());
    let sample = &samples[3];
    let (series, instance) = (sample.uid(tags::SERIES_INSTANCE_UID), sample.sop_instance());
    let file = fs::read(unpacked.path().join(format!("{}/{series}/{instance}.dcm", sample.study()))).unwrap();
    assert_eq!(&file[128..132], b"DICM");
    assert!(file.ends_with(&sample.data_set()));
}

#[tokio::test]
async fn a_disk_without_room_refuses_at_once_and_takes_again_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let full = Config { reserve_mib: 1 << 40, ..config(&folder) };
    let archive = Archive::open(&full).await.unwrap();
    let sample = ct();
    let error = store(&system(&archive), &sample).await.unwrap_err();
    assert!(error.kind == ErrorKind::Exhausted && error.what.contains("MiB left"), "{error}");
    assert!(studies(&system(&archive), &[]).await.is_empty());
    archive.close().await;
    let archive = Archive::open(&config(&folder)).await.unwrap();
    assert!(matches!(store(&system(&archive), &sample).await.unwrap(), Stored::New(_)));
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let (_archive, folder) = archive().await;
    let error = Archive::open(&config(&folder)).await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.what.contains("in use"));
}

#[tokio::test]
async fn who_may_not_is_refused_at_the_door() {
    let (archive, _folder) = archive().await;
    let web = archive.acting_as(Caller::Web { subject: Subject::Anonymous, address: None });
    assert_eq!(web.receive(file_arrival()).await.unwrap_err().kind, ErrorKind::Forbidden);
    assert_eq!(web.search(&Query::new(Level::Study)).await.err().unwrap().kind, ErrorKind::Forbidden);
    let stored = store(&system(&archive), &ct()).await.unwrap();
    assert_eq!(web.header(stored.instance()).await.unwrap_err().kind, ErrorKind::Forbidden);
    let first = Box::pin(web.open(stored.instance())).next().await.unwrap();
    assert_eq!(first.unwrap_err().kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_deflated_instance_gives_its_frames_inflated() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let plain = ct();
    let deflated = plain.next(2).transfer_syntax(transfer_syntax::DEFLATED);
    let plain = store(&session, &plain).await.unwrap();
    let deflated = store(&session, &deflated).await.unwrap();
    let expected = session.open_frame(plain.instance(), FrameNumber::FIRST).await.unwrap();
    assert_eq!(session.open_frame(deflated.instance(), FrameNumber::FIRST).await.unwrap(), expected);
}

#[tokio::test]
async fn headers_of_a_study_come_in_order_out_of_the_index() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let first = ct();
    for number in (2..250).rev() {
        store(&session, &first.next(number)).await.unwrap();
    }
    let second = first.next_series(2);
    store(&session, &second).await.unwrap();
    let headers: Vec<_> = session.headers(&Resource::Study(first.study())).try_collect().await.unwrap();
    let numbers: Vec<_> = headers.iter().map(|(instance, _)| instance.number.unwrap()).collect();
    assert_eq!(numbers, (2..250).chain([1]).collect::<Vec<_>>());
}

#[tokio::test]
async fn implicit_vr_under_an_explicit_transfer_syntax_is_read_as_what_it_is() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = ct();
    let mut file = sample.file();
    file.truncate(file.len() - sample.data_set().len());
    file.extend(sample.clone().transfer_syntax(transfer_syntax::IMPLICIT_LITTLE).data_set());
    let stored = store_file(&session, &file).await.unwrap();
    assert_eq!(bytes_of(&session, &stored).await, file);
    assert_eq!(studies(&session, &[(tags::PATIENT_ID, VR::LO, "P1")]).await, [sample.study().as_str()]);
}

#[tokio::test]
async fn many_senders_at_once_share_one_pack() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let first = ct();
    let samples: Vec<_> = (0..64).map(|number| first.next(number)).collect();
    let answers = futures_util::future::join_all(samples.iter().map(|sample| store(&session, sample))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Stored::New(_)))));
    let packs: std::collections::HashSet<_> =
        answers.iter().flatten().map(|stored| stored.instance().location.pack).collect();
    assert_eq!(packs.len(), 1);
    assert_eq!(session.instances(&Resource::Study(first.study())).await.unwrap().len(), 64);
}

#[tokio::test]
async fn a_damaged_entry_takes_nothing_with_it() {
    for damage in [100, 600] {
        let (_folder, config, samples) = crashed().await;
        let pack = log_packs(&config).pop().unwrap();
        let entry = 512 + (samples[0].file().len() as u64 + 16).div_ceil(512) * 512;
        // A byte of the second entry's header, or of its content.
        let file = fs::OpenOptions::new().read(true).write(true).open(&pack).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, entry + damage).unwrap();
        file.write_all_at(&[byte[0] ^ 0xFF], entry + damage).unwrap();
        drop(file);
        let archive = Archive::reindex(&config).await.unwrap();
        let session = system(&archive);
        assert_eq!(session.instances(&Resource::Study(samples[0].study())).await.unwrap().len(), 4);
        assert!(matches!(store(&session, &samples[1]).await.unwrap(), Stored::New(_)));
        archive.close().await;
        let archive = Archive::reindex(&config).await.unwrap();
        for sample in &samples {
            let stored = store(&system(&archive), sample).await.unwrap();
            assert!(matches!(stored, Stored::Same(_)));
            let data_set = stored.instance().data_set as usize;
            assert_eq!(bytes_of(&system(&archive), &stored).await[data_set..], sample.data_set());
        }
    }
}

#[tokio::test]
async fn a_locked_index_refuses_and_takes_again_and_agrees_with_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    store(&session, &ct()).await.unwrap();
    let index = folder.path().join("index.sqlite");
    let other = rusqlite::Connection::open(index).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = ct();
    assert_eq!(store(&session, &refused).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(store(&session, &ct()).await.unwrap_err().kind, ErrorKind::Unavailable);
    other.execute_batch("ROLLBACK").unwrap();
    // What was refused is in the log, and the index agrees as soon as it can.
    let again = async {
        loop {
            match store(&session, &refused).await {
                Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable),
                Ok(stored) => break stored,
            }
        }
    };
    let again = tokio::time::timeout(std::time::Duration::from_secs(20), again).await.unwrap();
    assert!(matches!(again, Stored::Same(_)));
    let other = refused.clone().name("OTHER^NAME");
    assert!(matches!(store(&session, &other).await.unwrap(), Stored::Conflict { .. }));
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    assert!(matches!(store(&system(&archive), &refused).await.unwrap(), Stored::Same(_)));
}

#[tokio::test]
async fn an_archive_without_its_packs_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { inline_size_mib: 1, ..config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    store(&system(&archive), &ct().size(1000, 1000)).await.unwrap();
    archive.close().await;
    fs::rename(folder.path().join("objects"), folder.path().join("elsewhere")).unwrap();
    let error = Archive::open(&config).await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.what.contains("mounted"), "{error}");
    // With the index lost as well, numbers of packs must not begin anew.
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(folder.path().join(file));
    }
    assert_eq!(Archive::open(&config).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn single_bytes_and_nothing_cost_no_more_than_they_bring() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = ct();
    let mut incoming = session.receive(file_arrival()).await.unwrap();
    for byte in sample.file() {
        incoming.write(Bytes::copy_from_slice(&[byte])).await.unwrap();
        incoming.write(Bytes::new()).await.unwrap();
    }
    let stored = incoming.commit().await.unwrap();
    assert_eq!(bytes_of(&session, &stored).await, sample.file());
}

#[tokio::test]
async fn searches_whose_rows_nobody_takes_hold_back_nobody() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let first = ct();
    let samples: Vec<_> = (0..200).map(|number| first.next(number)).collect();
    futures_util::future::join_all(samples.iter().map(|sample| store(&session, sample))).await;
    let query = Query::new(Level::Instance);
    let _silent = futures_util::future::join_all((0..20).map(|_| session.search(&query))).await;
    assert!(matches!(store(&session, &ct()).await.unwrap(), Stored::New(_)));
}

/// A data set that says ISO_IR 100 and is not.
fn legacy(name: &'static [u8], id: &str) -> fixture::Sample {
    let mut sample = ct().patient_id(id).with(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
    sample.attributes.put_bytes(tags::PATIENT_NAME, VR::PN, name);
    sample
}

async fn names(session: &Session) -> Vec<String> {
    let rows: Vec<_> = session.search(&Query::new(Level::Study)).await.unwrap().try_collect().await.unwrap();
    let mut names: Vec<_> = rows.iter().map(|row| row.attributes.text(tags::PATIENT_NAME).unwrap()).collect();
    names.sort();
    names
}

/// What text is read in, whether a rule says so, and in how many studies.
async fn text_counts(session: &Session) -> Vec<(Option<TextEncoding>, bool, u64)> {
    let counts = session.text_counts().await.unwrap();
    let count = |count: &TextCount| (count.reading.repair(), count.reading.is_by_rule(), count.studies);
    counts.iter().map(count).collect()
}

#[tokio::test]
async fn text_is_repaired_in_every_answer_and_a_new_rule_holds_after_reindex() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(&folder);
    let archive = Archive::open(&settings).await.unwrap();
    let session = system(&archive);
    let clear = store(&session, &legacy(b"Nguy\xea\xden^Thi\xf2", "P1")).await.unwrap();
    let unclear = legacy(b"H\xb5", "P2");
    let unclear = (store(&session, &unclear).await.unwrap(), unclear.data_set());
    assert_eq!(names(&session).await, ["Hµ", "Nguyễn^Thị"]);
    let header = session.header(clear.instance()).await.unwrap();
    assert_eq!(header.text().repair(), Some(TextEncoding::Windows1258));
    assert_eq!(header.attributes().unwrap().text(tags::PATIENT_NAME).unwrap(), "Nguyễn^Thị");
    assert!(session.header(unclear.0.instance()).await.unwrap().text().is_unsure());
    assert_eq!(studies(&session, &[(tags::PATIENT_NAME, VR::PN, "nguyen*")]).await.len(), 1);
    let hidden = store(&session, &legacy(b"H\xb5", "P3")).await.unwrap();
    let of = Part { study: hidden.instance().study.clone(), series: None, instance: None };
    session.act(&Order::Delete { of }, "").await.unwrap();
    let counts = text_counts(&session).await;
    assert_eq!(counts, [(Some(TextEncoding::Windows1258), false, 1), (None, false, 1)]);
    archive.close().await;
    let archive = Archive::reindex(&settings).await.unwrap();
    assert_eq!(text_counts(&system(&archive)).await, counts, "what is counted follows from the packs");
    archive.close().await;

    settings.sources = vec![TextSource { ae_title: "FIXTURE".to_owned(), character_set: TextRule::Tcvn3 }];
    let archive = Archive::reindex(&settings).await.unwrap();
    let session = system(&archive);
    assert!(names(&session).await.contains(&"Hà".to_owned()));
    assert_eq!(text_counts(&session).await, [(Some(TextEncoding::Tcvn3), true, 2)]);
    let stored = bytes_of(&session, &unclear.0).await;
    assert!(stored.ends_with(&unclear.1), "the bytes stay as they came");
    archive.close().await;
}

#[tokio::test]
async fn one_series_uid_in_two_studies_is_two_series() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let (first, other) = (ct(), ct());
    let other = other.with(tags::SERIES_INSTANCE_UID, VR::UI, &first.uid(tags::SERIES_INSTANCE_UID));
    let stored = store(&session, &first).await.unwrap();
    for sample in [&first.next(2), &other] {
        assert!(matches!(store(&session, sample).await.unwrap(), Stored::New(_)));
    }
    let series = &stored.instance().series;
    for (sample, count) in [(&first, 2), (&other, 1)] {
        let of_series = session.instances(&Resource::Series(sample.study(), series.clone())).await.unwrap();
        let of_study = session.instances(&Resource::Study(sample.study())).await.unwrap();
        assert_eq!((of_series.len(), of_study.len()), (count, count));
    }
}
