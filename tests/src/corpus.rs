//! What the tests store: named synthetic studies, and real files from elsewhere.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    by_hand::{CT_IMAGE, EXPLICIT_LITTLE},
    tools::{python, run, scripts},
};

pub const US_MULTIFRAME: &str = "1.2.840.10008.5.1.4.1.1.3.1";
pub const ENHANCED_CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2.1";
pub const BASIC_TEXT_SR: &str = "1.2.840.10008.5.1.4.1.1.88.11";

/// An instance that was made for a test: Explicit VR Little Endian, written out by hand.
#[derive(Clone, Debug)]
pub struct Synthetic {
    pub study: String,
    pub series: String,
    pub sop_class: &'static str,
    pub sop_instance: String,
    /// The data set without File Meta Information.
    pub data_set: Bytes,
}

impl Synthetic {
    /// The Part 10 file (PS3.10 §7.1).
    pub fn file(&self) -> Bytes {
        let mut meta = DataSet::default();
        meta.put(0x0002, 0x0001, "OB", &[0, 1]);
        meta.text(0x0002, 0x0002, "UI", self.sop_class);
        meta.text(0x0002, 0x0003, "UI", &self.sop_instance);
        meta.text(0x0002, 0x0010, "UI", EXPLICIT_LITTLE);
        meta.text(0x0002, 0x0012, "UI", "1.2.826.0.1.3680043.10.1");
        let mut group_length = DataSet::default();
        group_length.put(0x0002, 0x0000, "UL", &length(meta.bytes.len()).to_le_bytes());
        Bytes::from(
            [&[0; 128], b"DICM".as_slice(), &group_length.bytes, &meta.bytes, &self.data_set].concat(),
        )
    }

    /// Writes the Part 10 file into a folder.
    pub fn write_to(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.dcm", self.sop_instance));
        fs::write(&path, self.file()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// SOP Instance UIDs of these.
pub fn uids(instances: &[Synthetic]) -> BTreeSet<String> {
    instances.iter().map(|instance| instance.sop_instance.clone()).collect()
}

/// Writes the files of a study into a folder, in order.
pub fn write_all(instances: &[Synthetic], folder: &Path) -> Result<Vec<PathBuf>> {
    instances.iter().map(|instance| instance.write_to(folder)).collect()
}

/// What a study of the tests is about; `number` tells it from others.
#[derive(Clone, Copy)]
pub struct StudyOf {
    pub number: u32,
    pub patient_id: &'static str,
    /// In the character set that `charset` names, already.
    pub patient_name: &'static [u8],
    pub charset: &'static str,
    pub date: &'static str,
    pub description: &'static str,
}

/// A CT of a Vietnamese patient in UTF-8.
pub const NGUYEN: StudyOf = StudyOf {
    number: 1,
    patient_id: "BN-0001",
    patient_name: "NGUYỄN^VĂN ĐỨC".as_bytes(),
    charset: "ISO_IR 192",
    date: "20260301",
    description: "CT NGỰC",
};

/// A CT whose patient's name is in Latin-1.
pub const MUELLER: StudyOf = StudyOf {
    number: 2,
    patient_id: "DE-7",
    patient_name: b"M\xfcller^J\xf6rg",
    charset: "ISO_IR 100",
    date: "20260215",
    description: "CT KOPF",
};

/// A CT series of so many slices, 64 by 64, each of other pixels.
pub fn ct(of: StudyOf, slices: u16) -> Vec<Synthetic> {
    ct_of_size(of, slices, 64)
}

/// A CT series of square slices.
pub fn ct_of_size(of: StudyOf, slices: u16, edge: u16) -> Vec<Synthetic> {
    let slice = |number: u16| {
        let samples = u32::from(edge) * u32::from(edge);
        let seed = u32::from(number) * 37;
        // Twelve bits, so that a window matters.
        let pixels = (0..samples).flat_map(|at| ((at + seed) % 4096).to_le_bytes().into_iter().take(2));
        let image = Image { rows: edge, columns: edge, frames: 1, colour: false, pixels: pixels.collect() };
        instance(of, CT, number, Some(image))
    };
    (1..=slices).map(slice).collect()
}

/// All slices of a series in one instance, as newer devices send them.
pub fn enhanced_ct(of: StudyOf, frames: u16, edge: u16) -> Synthetic {
    let samples = u32::from(edge) * u32::from(edge) * u32::from(frames);
    let pixels = (0..samples).flat_map(|at| (at % 4093).to_le_bytes().into_iter().take(2)).collect();
    instance(of, ENHANCED_CT, 1, Some(Image { rows: edge, columns: edge, frames, colour: false, pixels }))
}

/// A colour cine loop of ultrasound; each frame is filled with its own number.
pub fn us_multiframe(of: StudyOf, frames: u16) -> Synthetic {
    let frame =
        |number: u16| std::iter::repeat_n(number.to_le_bytes().into_iter().next().unwrap_or(0), 32 * 48 * 3);
    let pixels = (1..=frames).flat_map(frame).collect();
    let image = Image { rows: 32, columns: 48, frames, colour: true, pixels };
    instance(of, US, 1, Some(image))
}

/// A structured report: no pixels, a sequence.
pub fn report(of: StudyOf) -> Synthetic {
    instance(of, SR, 1, None)
}

/// What a series consists of.
#[derive(Clone, Copy)]
struct Kind {
    sop_class: &'static str,
    modality: &'static str,
    series_number: u16,
}

const CT: Kind = Kind { sop_class: CT_IMAGE, modality: "CT", series_number: 1 };
const US: Kind = Kind { sop_class: US_MULTIFRAME, modality: "US", series_number: 2 };
const SR: Kind = Kind { sop_class: BASIC_TEXT_SR, modality: "SR", series_number: 3 };

const ENHANCED_CT: Kind = Kind { sop_class: ENHANCED_CT_IMAGE, modality: "CT", series_number: 4 };

struct Image {
    rows: u16,
    columns: u16,
    frames: u16,
    colour: bool,
    pixels: Vec<u8>,
}

/// The attributes before Pixel Data are in ascending order of their tags (PS3.5 §7.1).
fn instance(of: StudyOf, kind: Kind, number: u16, image: Option<Image>) -> Synthetic {
    let Kind { sop_class, modality, series_number } = kind;
    let study = format!("2.25.700{}", of.number);
    let series = format!("{study}.{series_number}");
    let sop_instance = format!("{series}.{number}");
    let mut set = DataSet::default();
    set.text(0x0008, 0x0005, "CS", of.charset);
    set.text(0x0008, 0x0016, "UI", sop_class);
    set.text(0x0008, 0x0018, "UI", &sop_instance);
    set.text(0x0008, 0x0020, "DA", of.date);
    set.text(0x0008, 0x0030, "TM", "101112");
    set.text(0x0008, 0x0050, "SH", &format!("ACC{}", of.number));
    set.text(0x0008, 0x0060, "CS", modality);
    set.text(0x0008, 0x0070, "LO", "ACME");
    set.text(0x0008, 0x0090, "PN", "");
    set.text(0x0008, 0x1030, "LO", of.description);
    set.put(0x0010, 0x0010, "PN", of.patient_name);
    set.text(0x0010, 0x0020, "LO", of.patient_id);
    set.text(0x0010, 0x0030, "DA", "19701231");
    set.text(0x0010, 0x0040, "CS", "M");
    set.text(0x0020, 0x000D, "UI", &study);
    set.text(0x0020, 0x000E, "UI", &series);
    set.text(0x0020, 0x0010, "SH", &of.number.to_string());
    set.text(0x0020, 0x0011, "IS", &series_number.to_string());
    set.text(0x0020, 0x0013, "IS", &number.to_string());
    match image {
        Some(image) => set.image(&image, number),
        None => set.text_report(),
    }
    Synthetic { study, series, sop_class, sop_instance, data_set: set.bytes.into() }
}

/// A data set under construction, in Explicit VR Little Endian.
#[derive(Default)]
pub struct DataSet {
    pub bytes: Vec<u8>,
}

impl DataSet {
    /// An element; the value is padded to an even length (PS3.5 §7.1.2, §6.2).
    pub fn put(&mut self, group: u16, element: u16, vr: &str, value: &[u8]) {
        let padding = if matches!(vr, "UI" | "OB" | "OW" | "UN") { 0 } else { b' ' };
        let padded = length(value.len().next_multiple_of(2));
        self.bytes.extend_from_slice(&group.to_le_bytes());
        self.bytes.extend_from_slice(&element.to_le_bytes());
        self.bytes.extend_from_slice(vr.as_bytes());
        if matches!(vr, "OB" | "OW" | "SQ" | "UN" | "UT") {
            self.bytes.extend_from_slice(&[0, 0]);
            self.bytes.extend_from_slice(&padded.to_le_bytes());
        } else {
            let [low, high, ..] = padded.to_le_bytes();
            self.bytes.extend_from_slice(&[low, high]);
        }
        self.bytes.extend_from_slice(value);
        if value.len() % 2 == 1 {
            self.bytes.push(padding);
        }
    }

    pub fn text(&mut self, group: u16, element: u16, vr: &str, value: &str) {
        self.put(group, element, vr, value.as_bytes());
    }

    fn number(&mut self, group: u16, element: u16, value: u16) {
        self.put(group, element, "US", &value.to_le_bytes());
    }

    fn image(&mut self, image: &Image, number: u16) {
        if !image.colour {
            self.text(0x0020, 0x0032, "DS", &format!("0\\0\\{number}"));
            self.text(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0");
        }
        self.number(0x0028, 0x0002, if image.colour { 3 } else { 1 });
        self.text(0x0028, 0x0004, "CS", if image.colour { "RGB" } else { "MONOCHROME2" });
        if image.colour {
            self.number(0x0028, 0x0006, 0);
        }
        if image.frames > 1 {
            self.text(0x0028, 0x0008, "IS", &image.frames.to_string());
        }
        self.number(0x0028, 0x0010, image.rows);
        self.number(0x0028, 0x0011, image.columns);
        if !image.colour {
            self.text(0x0028, 0x0030, "DS", "0.5\\0.5");
        }
        let bits = if image.colour { 8 } else { 16 };
        self.number(0x0028, 0x0100, bits);
        self.number(0x0028, 0x0101, if image.colour { 8 } else { 12 });
        self.number(0x0028, 0x0102, if image.colour { 7 } else { 11 });
        self.number(0x0028, 0x0103, 0);
        if !image.colour {
            self.text(0x0028, 0x1050, "DS", "1040");
            self.text(0x0028, 0x1051, "DS", "400");
            self.text(0x0028, 0x1052, "DS", "-1024");
            self.text(0x0028, 0x1053, "DS", "1");
        }
        self.put(0x7FE0, 0x0010, if image.colour { "OB" } else { "OW" }, &image.pixels);
    }

    fn text_report(&mut self) {
        let mut item = Self::default();
        item.text(0x0008, 0x0100, "SH", "121070");
        item.text(0x0008, 0x0102, "SH", "DCM");
        item.text(0x0008, 0x0104, "LO", "Findings");
        let head = [0xFE, 0xFF, 0x00, 0xE0];
        let sequence = [&head, length(item.bytes.len()).to_le_bytes().as_slice(), &item.bytes].concat();
        self.text(0x0040, 0xA040, "CS", "CONTAINER");
        self.put(0x0040, 0xA043, "SQ", &sequence);
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A real file, and what a correct archive makes of it; `peers/corpus.py` says how it is known.
#[derive(Debug)]
pub struct Real {
    pub file: PathBuf,
    /// False for a damaged file, which may be refused.
    pub whole: bool,
    pub study: String,
    pub series: String,
    pub sop_class: String,
    pub instance: String,
    pub transfer_syntax: String,
    pub stored: Option<Vec<String>>,
    pub decoded: Option<Vec<String>>,
}

/// Real files that come with the pydicom package, and, where `FILMLESS_CORPUS` names a folder, those of that folder.
pub async fn real_files() -> Result<Vec<Real>> {
    let mut files = pydicom_files().await?;
    if let Ok(folder) = env::var("FILMLESS_CORPUS") {
        files.extend(real_files_of(&folder).await?);
    }
    Ok(files)
}

/// Real files that come with the pydicom package.
pub async fn pydicom_files() -> Result<Vec<Real>> {
    real_files_of("pydicom").await
}

async fn real_files_of(source: &str) -> Result<Vec<Real>> {
    let mut command = Command::new(python()?);
    command.arg(scripts().join("peers/corpus.py")).arg(source);
    let finished = run(&mut command, Duration::from_secs(120)).await?.well()?;
    let entries: Vec<Value> =
        serde_json::from_str(&finished.stdout).context("read what corpus.py printed")?;
    Ok(entries.iter().map(real).collect())
}

fn real(entry: &Value) -> Real {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let hashes = |key: &str| -> Option<Vec<String>> {
        entry.get(key)?.as_array()?.iter().map(|hash| hash.as_str().map(str::to_owned)).collect()
    };
    Real {
        file: PathBuf::from(text("file")),
        whole: entry.get("whole").and_then(Value::as_bool).unwrap_or_default(),
        study: text("study"),
        series: text("series"),
        sop_class: text("sop_class"),
        instance: text("instance"),
        transfer_syntax: text("transfer_syntax"),
        stored: hashes("stored"),
        decoded: hashes("decoded"),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{MUELLER, NGUYEN, ct, report, us_multiframe};
    use crate::modality::dump;

    #[tokio::test]
    async fn synthetic_instances_are_files_that_dcmtk_reads() {
        let folder = TempDir::new().unwrap();
        let slice = ct(MUELLER, 1).remove(0).write_to(folder.path()).unwrap();
        assert!(dump(&slice).await.unwrap().contains("(0028,0010) US 64"));
        let cine = us_multiframe(NGUYEN, 3).write_to(folder.path()).unwrap();
        assert!(dump(&cine).await.unwrap().contains("(0028,0008) IS [3]"));
        let report = report(NGUYEN).write_to(folder.path()).unwrap();
        assert!(dump(&report).await.unwrap().contains("[Findings]"));
    }
}
