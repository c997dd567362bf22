//! Images whose pixels mean something else than they look like, and their look in a browser beside `/rendered`.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    browser::page,
    corpus::{DataSet, Synthetic},
    tools::run,
};

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
/// Some seconds an image, with software rendering on a busy machine.
const LIMIT: Duration = Duration::from_secs(280);
/// Rows and columns of each image.
pub const EDGE: u16 = 128;

/// An image of one frame, each in a study of its own; what it says is put in by `with`.
#[derive(Clone, Debug)]
pub struct Picture {
    pub name: &'static str,
    number: usize,
    elements: Vec<(u16, u16, &'static str, Vec<u8>)>,
}

impl Picture {
    /// Grey values of 16 bits, 12 of them stored.
    pub fn grey(name: &'static str, samples: &[u16]) -> Self {
        let pixels = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        Self::new(name).bits(16, 12).text(0x0004, "CS", "MONOCHROME2").put(0x7FE0, 0x0010, "OW", pixels)
    }

    /// Grey values of a byte each.
    pub fn bytes(name: &'static str, samples: &[u8]) -> Self {
        Self::new(name).bits(8, 8).text(0x0004, "CS", "MONOCHROME2").put(
            0x7FE0,
            0x0010,
            "OB",
            samples.to_vec(),
        )
    }

    /// Colours by pixel.
    pub fn colours(name: &'static str, interpretation: &str, samples: &[u8]) -> Self {
        let picture = Self::new(name).bits(8, 8).number(0x0002, 3).number(0x0006, 0);
        picture.text(0x0004, "CS", interpretation).put(0x7FE0, 0x0010, "OB", samples.to_vec())
    }

    fn new(name: &'static str) -> Self {
        let picture = Self { name, number: 0, elements: Vec::new() };
        picture.number(0x0002, 1).number(0x0010, EDGE).number(0x0011, EDGE).number(0x0103, 0)
    }

    fn bits(self, allocated: u16, stored: u16) -> Self {
        self.number(0x0100, allocated).number(0x0101, stored).number(0x0102, stored - 1)
    }

    /// An element of group 0028.
    #[must_use]
    pub fn text(self, element: u16, vr: &'static str, value: &str) -> Self {
        self.put(0x0028, element, vr, value.as_bytes().to_vec())
    }

    /// An element of group 0028 that is a number.
    #[must_use]
    pub fn number(self, element: u16, value: u16) -> Self {
        self.put(0x0028, element, "US", value.to_le_bytes().to_vec())
    }

    /// Window Center and Window Width.
    #[must_use]
    pub fn window(self, center: &str, width: &str) -> Self {
        self.text(0x1050, "DS", center).text(0x1051, "DS", width)
    }

    /// Rescale Slope and Rescale Intercept.
    #[must_use]
    pub fn rescale(self, slope: &str, intercept: &str) -> Self {
        self.text(0x1052, "DS", intercept).text(0x1053, "DS", slope)
    }

    /// A sequence of one table that begins at 0: Modality LUT Sequence or VOI LUT Sequence.
    #[must_use]
    pub fn table(self, sequence: u16, bits: u16, entries: &[u16]) -> Self {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let count = u16::try_from(entries.len()).unwrap_or(0);
        let mut item = DataSet::default();
        item.put(0x0028, 0x3002, "US", &words(&[count, 0, bits]));
        item.put(0x0028, 0x3006, "OW", &words(entries));
        let length = u32::try_from(item.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.put(0x0028, sequence, "SQ", [&[0xFE, 0xFF, 0x00, 0xE0], length.as_slice(), &item.bytes].concat())
    }

    /// Puts an element in, in place of what stands under its tag.
    #[must_use]
    pub fn put(mut self, group: u16, element: u16, vr: &'static str, value: Vec<u8>) -> Self {
        self.elements.retain(|(its, of, ..)| (*its, *of) != (group, element));
        self.elements.push((group, element, vr, value));
        self
    }

    /// The same under a number that no other one of the test has.
    #[must_use]
    pub fn numbered(self, number: usize) -> Self {
        Self { number, ..self }
    }

    pub fn study(&self) -> String {
        format!("2.25.8100{}", self.number)
    }

    pub fn path(&self) -> String {
        let study = self.study();
        format!("/dicom-web/studies/{study}/series/{study}.1/instances/{study}.1.1")
    }

    pub fn file(&self) -> Bytes {
        let study = self.study();
        let (series, sop_instance) = (format!("{study}.1"), format!("{study}.1.1"));
        let mut set = DataSet::default();
        set.text(0x0008, 0x0016, "UI", SECONDARY_CAPTURE);
        set.text(0x0008, 0x0018, "UI", &sop_instance);
        set.text(0x0008, 0x0020, "DA", "20260301");
        set.text(0x0008, 0x0060, "CS", "OT");
        set.text(0x0010, 0x0010, "PN", &format!("PICTURE^{}", self.number));
        set.text(0x0010, 0x0020, "LO", "P-1");
        set.text(0x0020, 0x000D, "UI", &study);
        set.text(0x0020, 0x000E, "UI", &series);
        set.text(0x0020, 0x0013, "IS", "1");
        let mut elements = self.elements.clone();
        elements.sort_by_key(|(group, element, ..)| (*group, *element));
        for (group, element, vr, value) in &elements {
            set.put(*group, *element, vr, value);
        }
        let sop_class = SECONDARY_CAPTURE;
        Synthetic { study, series, sop_class, sop_instance, data_set: set.bytes.into() }.file()
    }
}

/// What is to be looked at: a study, the rendering beside it, and how far the window is dragged before.
#[derive(Clone, Debug)]
pub struct Look {
    pub name: String,
    pub study: String,
    pub rendered: String,
    pub drag: Option<(i32, i32)>,
}

/// Opens each in the viewer: `browser/pictures.mjs` says how. Screenshots go to `folder`; the answer is what was seen.
///
/// `renderer` is `cpu`, as the viewer chooses it where there is no graphics card, or `gpu`.
pub async fn look(server: SocketAddr, renderer: &str, looks: &[Look], folder: &Path) -> Result<Value> {
    let images: Vec<Value> = looks
        .iter()
        .map(|Look { name, study, rendered, drag }| {
            json!({ "name": name, "study": study, "rendered": rendered, "drag": drag })
        })
        .collect();
    let wishes = json!({ "renderer": renderer, "images": images });
    let mut command: Command = page("pictures.mjs", server)?;
    let finished = run(command.arg(folder).arg(wishes.to_string()), LIMIT).await?.well()?;
    let seen: Value = serde_json::from_str(&finished.stdout)
        .with_context(|| format!("pictures.mjs printed {:?}", finished.stdout))?;
    ensure!(seen.as_object().map(serde_json::Map::len) == Some(looks.len()), "{seen}");
    Ok(seen)
}
