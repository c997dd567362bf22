//! Fills an index with studies of synthetic patients, through its own commit, and measures what searches of it cost.
//!
//! ```text
//! cargo run --release -p dicom-store --features fixtures --example search -- FOLDER STUDIES
//! ```
//!
//! In place of the folder, the URL of a PostgreSQL database. An index that is there already is measured as it is. Printed are the times of one page of 25 in
//! milliseconds, as they passed and as the processor worked, each from many searches for different values.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program to measure with: it prints, and stops where something is wrong"
)]

mod people;
mod questions;

use std::path::Path;
use std::time::Instant;

use dicom::dictionary_std::{tags, uids};
use dicom_store::index::{Index, LevelRows, Mark, NewInstance, OPEN, PostgresIndex, SqliteIndex};
use dicom_store::model::{
    Attributes, Encoding, Level, Location, PackId, Scanned, SeriesInstanceUid, SopClassUid, SopInstanceUid,
    StudyInstanceUid, TransferSyntaxUid, VR, scan, transfer_syntax,
};
use dicom_store::query::Query;

use people::{Numbers, Person};

/// Instances of one commit.
const GROUP: u64 = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(studies)) = (arguments.next(), arguments.next().and_then(|n| n.parse().ok()))
    else {
        println!("usage: search FOLDER STUDIES");
        return;
    };
    let index = open(&folder).await;
    let index = &*index;
    let there = index.count(&Query::new(Level::Study)).await.unwrap().found;
    if there < studies {
        let begun = Instant::now();
        let before = questions::processor_time();
        fill(index, there, studies).await;
        let worked = questions::processor_time().saturating_sub(before).as_secs_f64();
        let passed = begun.elapsed().as_secs_f64();
        println!("{} studies in {passed:.0} s, {worked:.1} s of them at work", studies - there);
    }
    questions::measure(index, studies).await;
    index.close().await;
}

async fn open(place: &str) -> Box<dyn Index> {
    if place.starts_with("postgres:") {
        return Box::new(PostgresIndex::open(place, None).await.unwrap());
    }
    std::fs::create_dir_all(place).unwrap();
    let file = Path::new(place).join("index.sqlite");
    let index = SqliteIndex::open(&file).await.unwrap();
    println!("{} MiB in the file", std::fs::metadata(&file).unwrap().len() >> 20);
    Box::new(index)
}

async fn fill(index: &dyn Index, from: u64, to: u64) {
    let mut group = Vec::new();
    for number in from..to {
        group.push(instance(number, to));
        if group.len() as u64 == GROUP || number + 1 == to {
            let mark = Mark { pack: PackId(1), offset: number + 1 };
            index.commit(&group, &[mark], OPEN).await.unwrap();
            group.clear();
        }
    }
}

/// The one instance of a study; studies come in the order of time, over ten years.
fn instance(number: u64, of: u64) -> NewInstance {
    let attributes = study(number, of);
    let bytes = attributes.write(Encoding::ExplicitLittle);
    let Scanned { header, attributes, frames } =
        scan(&mut bytes.as_slice(), 0, 0, Encoding::ExplicitLittle).unwrap();
    let uid = |tag| attributes.uid(tag).unwrap();
    NewInstance {
        levels: LevelRows::of(&attributes),
        frame_map: frames.to_bytes(),
        frames: frames.count(),
        number: Some(1),
        study: StudyInstanceUid::parse(uid(tags::STUDY_INSTANCE_UID)).unwrap(),
        series: SeriesInstanceUid::parse(uid(tags::SERIES_INSTANCE_UID)).unwrap(),
        sop_instance: SopInstanceUid::parse(uid(tags::SOP_INSTANCE_UID)).unwrap(),
        sop_class: SopClassUid::parse(uid(tags::SOP_CLASS_UID)).unwrap(),
        transfer_syntax: TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE).unwrap(),
        location: Location { pack: PackId(1), offset: number, length: 1 },
        data_set: 0,
        digest: *blake3_of(number),
        sender: "SYNTHETIC".to_owned(),
        received: 0,
        is_conflict: false,
        header,
    }
}

/// A digest that no other has.
fn blake3_of(number: u64) -> Box<[u8; 32]> {
    let mut digest = Box::new([0; 32]);
    digest[..8].copy_from_slice(&number.to_le_bytes());
    digest
}

fn study(number: u64, of: u64) -> Attributes {
    let mut numbers = Numbers::new(number);
    // Some patients come back.
    let person = Person::new(numbers.below(of * 6 / 10 + 1));
    let day = number * 3650 / of;
    let date = format!("{}{:02}{:02}", 2016 + day / 365, 1 + day % 365 / 31, 1 + day % 365 % 28);
    let time = format!("{:02}{:02}{:02}", 7 + numbers.below(12), numbers.below(60), numbers.below(60));
    let modality = people::modality(&mut numbers);
    let uid = format!("1.2.826.0.1.{number}");
    let mut study = Attributes::new();
    for (tag, vr, text) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, &format!("{uid}.1.1")),
        (tags::STUDY_DATE, VR::DA, &date),
        (tags::STUDY_TIME, VR::TM, &time),
        (tags::ACCESSION_NUMBER, VR::SH, &format!("A{number:09}")),
        (tags::MODALITY, VR::CS, modality),
        (tags::STUDY_DESCRIPTION, VR::LO, "CT SỌ NÃO KHÔNG TIÊM"),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "BS^TRẦN"),
        (tags::PATIENT_NAME, VR::PN, &person.name),
        (tags::PATIENT_ID, VR::LO, &person.id),
        (tags::PATIENT_BIRTH_DATE, VR::DA, "19700101"),
        (tags::PATIENT_SEX, VR::CS, "F"),
        (tags::STUDY_INSTANCE_UID, VR::UI, &uid),
        (tags::SERIES_INSTANCE_UID, VR::UI, &format!("{uid}.1")),
        (tags::STUDY_ID, VR::SH, "1"),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
    ] {
        study.put_text(tag, vr, text);
    }
    study
}
