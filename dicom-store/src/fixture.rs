//! Synthetic instances and archives in temporary folders.

mod bucket;
mod postgres;
pub mod step;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dicom::dictionary_std::{tags, uids};
use tempfile::TempDir;

use crate::model::{
    AeTitle, Attributes, FileMeta, Instance, Resource, SopClassUid, SopInstanceUid, StudyInstanceUid, Tag,
    TransferSyntaxUid, VR, transfer_syntax,
};
pub use crate::packs::disk::{ReadWatch, Step, Watch};
use crate::{Archive, Arrival, Caller, Config, Declared, Origin, Proof, Result, Session, Stored};

pub use bucket::Bucket;
pub use postgres::{Database, Stopped};

/// UIDs that no other fixture of this process has; the root is made from a UUID (PS3.5 §B.2).
pub fn uid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("2.25.117262.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An instance in the making.
#[derive(Debug, Clone)]
pub struct Sample {
    pub attributes: Attributes,
    transfer_syntax: String,
}

/// A CT slice of 16 by 16 pixels with 16 bits: a ramp.
pub fn ct() -> Sample {
    let mut sample = Sample {
        attributes: Attributes::new(),
        transfer_syntax: transfer_syntax::EXPLICIT_LITTLE.to_owned(),
    };
    for (tag, vr, text) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, uid().as_str()),
        (tags::STUDY_INSTANCE_UID, VR::UI, uid().as_str()),
        (tags::SERIES_INSTANCE_UID, VR::UI, uid().as_str()),
        (tags::MODALITY, VR::CS, "CT"),
        (tags::PATIENT_NAME, VR::PN, "NGUYEN^VAN AN"),
        (tags::PATIENT_ID, VR::LO, "P1"),
        (tags::STUDY_DATE, VR::DA, "20260102"),
        (tags::STUDY_TIME, VR::TM, "101500"),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ] {
        sample.attributes.put_text(tag, vr, text);
    }
    for (tag, number) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        sample.attributes.put_u16(tag, number);
    }
    sample.size(16, 16)
}

/// A Key Object Selection document with this title (PS3.16 CID 7010) that refers to instances.
pub fn key_object(title: &str, of: &[&Sample]) -> Sample {
    let first = of.first().expect("a document refers to something");
    let mut code = Attributes::new();
    code.put_text(tags::CODE_VALUE, VR::SH, title);
    code.put_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
    let evidence = of.iter().map(|sample| {
        let mut instance = Attributes::new();
        instance.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, sample.sop_class().as_str());
        instance.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, sample.sop_instance().as_str());
        let mut series = Attributes::new();
        series.put_text(tags::SERIES_INSTANCE_UID, VR::UI, &sample.uid(tags::SERIES_INSTANCE_UID));
        series.put_items(tags::REFERENCED_SOP_SEQUENCE, vec![instance]);
        let mut study = Attributes::new();
        study.put_text(tags::STUDY_INSTANCE_UID, VR::UI, sample.study().as_str());
        study.put_items(tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
        study
    });
    let mut sample = first.next_series(999).without(tags::PIXEL_DATA);
    sample.attributes.put_items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, evidence.collect());
    sample.attributes.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![code]);
    let sample = sample.with(tags::SOP_CLASS_UID, VR::UI, uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE);
    sample.with(tags::MODALITY, VR::CS, "KO")
}

impl Sample {
    /// Sets any text attribute.
    pub fn with(mut self, tag: Tag, vr: VR, text: &str) -> Self {
        self.attributes.put_text(tag, vr, text);
        self
    }

    pub fn without(mut self, tag: Tag) -> Self {
        self.attributes.remove(tag);
        self
    }

    pub fn name(self, name: &str) -> Self {
        self.with(tags::PATIENT_NAME, VR::PN, name)
    }

    pub fn patient_id(self, id: &str) -> Self {
        self.with(tags::PATIENT_ID, VR::LO, id)
    }

    /// The next instance of the same series.
    pub fn next(&self, number: u32) -> Self {
        let sample = self.clone().with(tags::SOP_INSTANCE_UID, VR::UI, &uid());
        sample.with(tags::INSTANCE_NUMBER, VR::IS, &number.to_string())
    }

    /// The first instance of another series of the same study.
    pub fn next_series(&self, number: u32) -> Self {
        let sample = self.next(1).with(tags::SERIES_INSTANCE_UID, VR::UI, &uid());
        sample.with(tags::SERIES_NUMBER, VR::IS, &number.to_string())
    }

    /// Rows and columns, with a ramp for pixels.
    pub fn size(mut self, rows: u16, columns: u16) -> Self {
        self.attributes.put_u16(tags::ROWS, rows);
        self.attributes.put_u16(tags::COLUMNS, columns);
        let pixels = u32::from(rows) * u32::from(columns);
        let ramp: Vec<u8> =
            (0..pixels).flat_map(|n| u16::try_from(n % 4096).unwrap_or_default().to_le_bytes()).collect();
        self.pixels(VR::OW, ramp)
    }

    pub fn pixels(mut self, vr: VR, bytes: impl Into<Bytes>) -> Self {
        self.attributes.put_bytes(tags::PIXEL_DATA, vr, bytes);
        self
    }

    pub fn transfer_syntax(mut self, uid: &str) -> Self {
        self.transfer_syntax = uid.to_owned();
        self
    }

    pub fn uid(&self, tag: Tag) -> String {
        self.attributes.uid(tag).unwrap_or_default().to_owned()
    }

    pub fn study(&self) -> StudyInstanceUid {
        StudyInstanceUid::parse(&self.uid(tags::STUDY_INSTANCE_UID)).expect("the fixture has a study")
    }

    pub fn sop_instance(&self) -> SopInstanceUid {
        SopInstanceUid::parse(&self.uid(tags::SOP_INSTANCE_UID)).expect("the fixture has an instance")
    }

    pub fn sop_class(&self) -> SopClassUid {
        SopClassUid::parse(&self.uid(tags::SOP_CLASS_UID)).expect("the fixture has a class")
    }

    pub fn syntax(&self) -> TransferSyntaxUid {
        TransferSyntaxUid::parse(&self.transfer_syntax).expect("the fixture has a transfer syntax")
    }

    /// The data set in its transfer syntax.
    pub fn data_set(&self) -> Vec<u8> {
        let facts = self.syntax().facts();
        let bytes = self.attributes.write(facts.encoding);
        if !facts.deflated {
            return bytes;
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &bytes).expect("a vector takes everything");
        encoder.finish().expect("a vector takes everything")
    }

    /// The Part 10 file.
    pub fn file(&self) -> Vec<u8> {
        let mut file = FileMeta::head(&self.sop_class(), &self.sop_instance(), &self.syntax(), None).to_vec();
        file.extend(self.data_set());
        file
    }
}

/// An archive in a folder that goes away with it.
pub async fn archive() -> (Archive, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let archive = Archive::open(&config(&folder)).await.expect("an empty archive opens");
    (archive, folder)
}

/// Settings for a small archive in a folder.
pub fn config(folder: &TempDir) -> Config {
    Config { data: folder.path().to_owned(), reserve_mib: 0, ..Config::default() }
}

/// A session that may do everything.
pub fn system(archive: &Archive) -> Session {
    archive.acting_as(Caller::System("fixture"))
}

/// Turns over the last byte of an instance that still lies in the log, and has it found.
pub async fn damage(archive: &Archive, sample: &Sample) {
    let session = system(archive);
    let of = Resource::Study(sample.study());
    let shown = session.instances(&of).await.expect("the instance is stored");
    let is_it = |shown: &&Instance| shown.sop_instance == sample.sop_instance();
    let location = shown.iter().find(is_it).expect("the instance is stored").location;
    let file = archive.inner.packs.open_in_log(location.pack).expect("its pack is in the log");
    let (mut byte, last) = ([0], location.offset + location.length - 1);
    file.read_exact_at(&mut byte, last).expect("the pack can be read");
    file.write_all_at(&byte.map(|byte| !byte), last).expect("the pack can be written");
    let proof = session.prove(&sample.sop_instance(), &sample.sop_class()).await;
    assert_eq!(proof.expect("the pack can be read"), Proof::Damaged);
}

/// Stores an instance as a C-STORE does.
///
/// # Errors
/// What the archive says.
pub async fn store(session: &Session, sample: &Sample) -> Result<Stored> {
    let title = AeTitle::parse("FIXTURE").expect("a title");
    let origin = Origin::Dimse { calling: title.clone(), called: title, address: [127, 0, 0, 1].into() };
    let declared = Declared::DataSet {
        sop_class: sample.sop_class(),
        sop_instance: sample.sop_instance(),
        transfer_syntax: sample.syntax(),
    };
    let mut incoming = session.receive(Arrival { origin, declared }).await?;
    for part in sample.data_set().chunks(16 * 1024) {
        incoming.write(Bytes::copy_from_slice(part)).await?;
    }
    incoming.commit().await
}
