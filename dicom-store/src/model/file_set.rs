//! A File-set and its DICOMDIR (PS3.10 §8, PS3.3 Annex F): which instance gets which File ID, and the directory of all.
//!
//! File IDs have three components of eight capitals and digits (PS3.10 §8.2, ISO 9660 level 1): `DICOM`, a series, an
//! instance. The directory is written at the end; until then it takes some hundred bytes an instance.
//!
//! Text is in ISO_IR 192. What a directory record has to have and an instance does not have is numbered
//! (Patient ID, Study ID, Series Number, Instance Number) or left empty (dates, labels).

mod record;

use std::collections::HashMap;

use dicom::dictionary_std::{tags, uids};

use super::{
    Attributes, Encoding, FileMeta, Instance, Result, SopClassUid, SopInstanceUid, Tag, TransferSyntaxUid,
    VR, transfer_syntax,
};
use record::{Keys, of_instance, of_patient, of_series, of_study};

/// Bytes of an item before the rest of its record: item tag and length, and the three elements that link it.
const LINKS: usize = 8 + 12 + 10 + 12;

/// A File-set in the making.
#[derive(Debug, Default)]
pub struct FileSet {
    patients: Vec<Node>,
    /// Places of the entities that have come: the patient's key, and UIDs.
    places: HashMap<String, Vec<usize>>,
    /// Numbers of the series that have come.
    folders: HashMap<String, usize>,
    files: usize,
}

/// A directory record and those below it.
#[derive(Debug)]
struct Node {
    /// Its elements behind the three that link it.
    record: Vec<u8>,
    below: Vec<Node>,
}

impl FileSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives an instance its File ID and takes down what the directory says of it. `transfer_syntax` is the one of the
    /// file, which may be another than the archive's.
    pub fn add(
        &mut self,
        instance: &Instance,
        attributes: &Attributes,
        transfer_syntax: &TransferSyntaxUid,
    ) -> [String; 3] {
        let patient = self.patient(instance, attributes);
        let study = self.place(instance.study.as_str(), patient, |number| of_study(attributes, number));
        let key = format!("{}\\{}", instance.study, instance.series);
        let next = self.folders.len() + 1;
        let folder = *self.folders.entry(key.clone()).or_insert(next);
        let series = self.place(&key, study, |number| of_series(attributes, number));
        self.files += 1;
        let id = ["DICOM".to_owned(), format!("S{folder:07}"), format!("I{:07}", self.files)];
        if let Some(node) = self.node(&series) {
            let mut record = Keys::of(instance_type(instance, attributes));
            record.file(&id, instance, transfer_syntax);
            of_instance(&mut record, instance, attributes, node.below.len() + 1);
            node.below.push(Node { record: record.into_bytes(), below: Vec::new() });
        }
        id
    }

    /// How many files it has.
    pub fn len(&self) -> usize {
        self.files
    }

    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// The DICOMDIR: a Part 10 file in Explicit VR Little Endian.
    ///
    /// # Errors
    /// `TooLarge` when its offsets do not fit 32 bits; `Invalid` never.
    pub fn directory(&self, uid: &SopInstanceUid) -> Result<Vec<u8>> {
        let class = SopClassUid::parse(uids::MEDIA_STORAGE_DIRECTORY_STORAGE)?;
        let syntax = TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE)?;
        let mut file = FileMeta::head(&class, uid, &syntax, None).to_vec();
        let head = self.head(0, 0);
        let first = file.len() + head.len() + 12;
        let mut records = Vec::new();
        let last = write(&self.patients, first, &mut records)?;
        file.extend_from_slice(&self.head(offset(if records.is_empty() { 0 } else { first })?, last));
        file.extend_from_slice(b"\x04\0\x20\x12SQ\0\0");
        file.extend_from_slice(&offset(records.len())?.to_le_bytes());
        file.append(&mut records);
        Ok(file)
    }

    fn head(&self, first: u32, last: u32) -> Vec<u8> {
        let mut head = Attributes::new();
        head.put_text(tags::FILE_SET_ID, VR::CS, "FILMLESS");
        head.put_u32(FIRST_RECORD, first);
        head.put_u32(LAST_RECORD, last);
        head.put_u16(tags::FILE_SET_CONSISTENCY_FLAG, 0);
        head.write(Encoding::ExplicitLittle)
    }

    /// The place of the patient; without a Patient ID each study has one of its own.
    fn patient(&mut self, instance: &Instance, attributes: &Attributes) -> Vec<usize> {
        let id = attributes.text(tags::PATIENT_ID).filter(|id| !id.is_empty());
        let issuer = attributes.text(tags::ISSUER_OF_PATIENT_ID).unwrap_or_default();
        let key = match &id {
            Some(id) => format!("patient\\{id}\\{issuer}"),
            None => format!("patient of\\{}", instance.study),
        };
        self.place(&key, Vec::new(), |number| of_patient(attributes, number))
    }

    /// The place of an entity below another, which is made when it comes for the first time.
    fn place(&mut self, key: &str, above: Vec<usize>, record: impl FnOnce(usize) -> Vec<u8>) -> Vec<usize> {
        if let Some(place) = self.places.get(key) {
            return place.clone();
        }
        let below = match self.node(&above) {
            Some(node) => &mut node.below,
            None => &mut self.patients,
        };
        let mut place = above;
        place.push(below.len());
        below.push(Node { record: record(below.len() + 1), below: Vec::new() });
        self.places.insert(key.to_owned(), place.clone());
        place
    }

    /// `None` for the root.
    fn node(&mut self, place: &[usize]) -> Option<&mut Node> {
        let (first, rest) = place.split_first()?;
        rest.iter().try_fold(self.patients.get_mut(*first)?, |node, at| node.below.get_mut(*at))
    }
}

const FIRST_RECORD: Tag = Tag(0x0004, 0x1200);
const LAST_RECORD: Tag = Tag(0x0004, 0x1202);

fn instance_type(instance: &Instance, attributes: &Attributes) -> &'static str {
    record::of_class(instance.sop_class.as_str(), instance.frames > 0 || attributes.contains(tags::ROWS))
}

/// Appends the records, each followed by those below it; gives the offset of the last of them. `start` is where the
/// first record of the file lies.
fn write(nodes: &[Node], start: usize, out: &mut Vec<u8>) -> Result<u32> {
    let (mut last, mut before) = (0, None);
    for node in nodes {
        let at = out.len();
        last = offset(start + at)?;
        if let Some(before) = before {
            link(out, before + 16, last);
        }
        before = Some(at);
        out.extend_from_slice(b"\xFE\xFF\0\xE0");
        out.extend_from_slice(&offset(LINKS - 8 + node.record.len())?.to_le_bytes());
        out.extend_from_slice(b"\x04\0\0\x14UL\x04\0\0\0\0\0");
        out.extend_from_slice(b"\x04\0\x10\x14US\x02\0\xFF\xFF");
        out.extend_from_slice(b"\x04\0\x20\x14UL\x04\0\0\0\0\0");
        out.extend_from_slice(&node.record);
        if !node.below.is_empty() {
            let lower = offset(start + out.len())?;
            link(out, at + 38, lower);
            write(&node.below, start, out)?;
        }
    }
    Ok(last)
}

fn link(out: &mut [u8], at: usize, to: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&to.to_le_bytes());
    }
}

fn offset(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        super::Error::new(super::ErrorKind::TooLarge, "the directory of the File-set is over 4 GiB")
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Location, PackId, SeriesInstanceUid, StudyInstanceUid};

    fn instance(study: &str, series: &str, uid: &str, class: &str) -> Instance {
        Instance {
            study: StudyInstanceUid::parse(study).unwrap(),
            series: SeriesInstanceUid::parse(series).unwrap(),
            sop_instance: SopInstanceUid::parse(uid).unwrap(),
            sop_class: SopClassUid::parse(class).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE).unwrap(),
            number: None,
            frames: 1,
            location: Location { pack: PackId(1), offset: 0, length: 0 },
            data_set: 0,
            correction: None,
        }
    }

    fn attributes(patient: &str) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.put_text(tags::PATIENT_ID, VR::LO, patient);
        attributes.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^An");
        attributes.put_text(tags::MODALITY, VR::CS, "CT");
        attributes
    }

    /// Type and text of the records in the order in which their links lead through them.
    fn walk(file: &[u8], at: u32, depth: usize, found: &mut Vec<String>) {
        let mut next = at;
        while next != 0 {
            let at = usize::try_from(next).unwrap();
            assert_eq!(&file[at..at + 4], b"\xFE\xFF\0\xE0", "a link leads to an item");
            let length = u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap());
            let item = Bytes::copy_from_slice(&file[at + 8..at + 8 + usize::try_from(length).unwrap()]);
            let record = Attributes::read(item, Encoding::ExplicitLittle).unwrap();
            let kind = record.text(tags::DIRECTORY_RECORD_TYPE).unwrap();
            let id = record.texts(tags::REFERENCED_FILE_ID).join("/");
            found.push(format!("{:depth$}{kind} {id}", "").trim_end().to_owned());
            let link = |tag| u32::try_from(record.int(tag).unwrap()).unwrap();
            walk(file, link(Tag(0x0004, 0x1420)), depth + 1, found);
            next = link(Tag(0x0004, 0x1400));
        }
    }

    #[test]
    fn every_record_is_found_by_the_links_below_its_own_entity() {
        let (ct, sr) = (uids::CT_IMAGE_STORAGE, uids::BASIC_TEXT_SR_STORAGE);
        let syntax = TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE).unwrap();
        let mut set = FileSet::new();
        for (study, series, uid, class, patient) in [
            ("1.1", "1.11", "1.111", ct, "P1"),
            ("1.1", "1.12", "1.121", sr, "P1"),
            ("1.1", "1.11", "1.112", ct, "P1"),
            ("1.2", "1.21", "1.211", ct, "P1"),
            ("1.3", "1.31", "1.311", ct, ""),
            ("1.4", "1.41", "1.411", ct, ""),
        ] {
            let id = set.add(&instance(study, series, uid, class), &attributes(patient), &syntax);
            assert!(id.iter().all(|part| part.len() <= 8), "{id:?}");
        }
        let file = set.directory(&SopInstanceUid::parse("2.25.1").unwrap()).unwrap();
        let meta = FileMeta::read(&file, true).unwrap().unwrap();
        let data_set = Bytes::copy_from_slice(&file[usize::try_from(meta.data_set).unwrap()..]);
        let directory = Attributes::read(data_set, Encoding::ExplicitLittle).unwrap();
        let first = u32::try_from(directory.int(FIRST_RECORD).unwrap()).unwrap();
        let mut found = Vec::new();
        walk(&file, first, 0, &mut found);
        assert_eq!(
            found,
            [
                "PATIENT",
                " STUDY",
                "  SERIES",
                "   IMAGE DICOM/S0000001/I0000001",
                "   IMAGE DICOM/S0000001/I0000003",
                "  SERIES",
                "   SR DOCUMENT DICOM/S0000002/I0000002",
                " STUDY",
                "  SERIES",
                "   IMAGE DICOM/S0000003/I0000004",
                "PATIENT",
                " STUDY",
                "  SERIES",
                "   IMAGE DICOM/S0000004/I0000005",
                "PATIENT",
                " STUDY",
                "  SERIES",
                "   IMAGE DICOM/S0000005/I0000006",
            ]
        );
        let last = usize::try_from(directory.int(LAST_RECORD).unwrap()).unwrap();
        let items = directory.items(tags::DIRECTORY_RECORD_SEQUENCE);
        assert_eq!((&file[last..last + 4], items.len()), (b"\xFE\xFF\0\xE0".as_slice(), found.len()));
        assert_eq!(items[0].text(tags::PATIENT_NAME).unwrap(), "Nguyễn^An");
    }
}
