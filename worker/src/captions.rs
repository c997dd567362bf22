//! What is burnt into a picture beside the image: whose it is, and how it was made (PS3.18 §8.3.5.1.2).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, Tag};

use crate::lettering::{Line, width};
use crate::pixel::Bitmap;

/// Height of a line, in pixels: at the least, at the most, and as a part of the shorter side of the picture.
const LEAST: f32 = 8.0;
const MOST: f32 = 40.0;
const PART: f32 = 28.0;
/// From line to line, in their heights.
const STEP: f32 = 1.1;
/// Of the picture that words may take, each way.
const ROOM: f32 = 0.96;

/// What somebody wants to be burnt in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Annotation {
    /// Name, identifier, birth date and sex of the patient.
    pub patient: bool,
    /// Modality, dates, numbers and parameters of the acquisition.
    pub technique: bool,
}

/// The words of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captions {
    /// At the upper edge.
    patient: Vec<String>,
    /// At the lower edge.
    technique: Vec<String>,
}

impl Captions {
    /// Those of a frame, from the attributes of its instance.
    pub fn read(attributes: &Attributes, frame: FrameNumber, wanted: Annotation) -> Self {
        let lines = |is_wanted: bool, lines: Vec<String>| {
            if is_wanted { lines.into_iter().filter(|line| !line.is_empty()).collect() } else { Vec::new() }
        };
        Self {
            patient: lines(wanted.patient, patient(attributes)),
            technique: lines(wanted.technique, technique(attributes, frame)),
        }
    }

    pub(crate) fn draw(&self, picture: &mut Bitmap) {
        let lines = || self.patient.iter().chain(&self.technique);
        let count = lines().fold(1.0, |count, _| count + STEP);
        let widest = lines().map(|line| width(line)).fold(1.0, f32::max);
        let (across, down) = (pixels(picture.width), pixels(picture.height));
        let usual = (across.min(down) / PART).clamp(LEAST, MOST);
        let size = usual.min(across * ROOM / widest).min(down * ROOM / count).max(LEAST);
        let left = (across * (1.0 - ROOM) / 2.0).min(size / 2.0);
        let mut write =
            |words: &str, top: f32| Line { words, left, top, size, shade: u8::MAX }.write(picture);
        let mut top = left;
        for line in &self.patient {
            write(line, top);
            top += size * STEP;
        }
        let mut top = down - left - size;
        for line in self.technique.iter().rev() {
            write(line, top);
            top -= size * STEP;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "pictures are far smaller than 16 million pixels a side")]
fn pixels(length: u32) -> f32 {
    length as f32
}

fn patient(of: &Attributes) -> Vec<String> {
    let birth = of.text(tags::PATIENT_BIRTH_DATE).map(|text| date(&text)).filter(|date| !date.is_empty());
    let age = of.text(tags::PATIENT_AGE);
    let rest = [of.text(tags::PATIENT_ID), birth.or(age), of.text(tags::PATIENT_SEX)];
    vec![name(&of.text(tags::PATIENT_NAME).unwrap_or_default()), joined(rest)]
}

fn technique(of: &Attributes, frame: FrameNumber) -> Vec<String> {
    let numbered = |letter: &str, tag: Tag| of.int(tag).map(|number| format!("{letter} {number}"));
    let measured = |tag: Tag, before: &str, unit: &str| {
        let value = of.text(tag).filter(|text| text.trim().parse::<f64>().is_ok())?;
        Some(format!("{before}{}{unit}", value.trim()))
    };
    let when = [tags::ACQUISITION_DATE, tags::CONTENT_DATE, tags::SERIES_DATE, tags::STUDY_DATE];
    let at = [tags::ACQUISITION_TIME, tags::CONTENT_TIME, tags::SERIES_TIME, tags::STUDY_TIME];
    let mut moments = when.into_iter().zip(at).filter_map(|(day, hour)| {
        let day = of.text(day).map(|text| date(&text)).filter(|day| !day.is_empty())?;
        Some(joined([Some(day), of.text(hour).and_then(|text| time(&text))]))
    });
    let frames = of.int(tags::NUMBER_OF_FRAMES).filter(|frames| *frames > 1);
    let side = of.text(tags::IMAGE_LATERALITY).or_else(|| of.text(tags::LATERALITY));
    vec![
        joined([of.text(tags::MODALITY), moments.next()]),
        joined([
            numbered("S", tags::SERIES_NUMBER),
            numbered("I", tags::INSTANCE_NUMBER),
            frames.map(|frames| format!("F {}/{frames}", frame.get())),
        ]),
        joined([of.text(tags::SERIES_DESCRIPTION), of.text(tags::BODY_PART_EXAMINED), side]),
        joined([
            measured(tags::KVP, "", " kV"),
            measured(tags::X_RAY_TUBE_CURRENT, "", " mA"),
            measured(tags::EXPOSURE, "", " mAs"),
            measured(tags::REPETITION_TIME, "TR ", ""),
            measured(tags::ECHO_TIME, "TE ", ""),
            measured(tags::SLICE_THICKNESS, "", " mm"),
        ]),
    ]
}

/// What there is of these, with space between.
fn joined<const N: usize>(texts: [Option<String>; N]) -> String {
    let texts = texts.into_iter().flatten().map(|text| text.trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("  ")
}

/// The first component group that says something (PS3.5 §6.2.1.2), with spaces for its delimiters.
fn name(text: &str) -> String {
    let groups = text.split('=').map(|group| group.split('^').filter(|part| !part.is_empty()));
    let mut groups = groups.map(|group| group.map(str::trim).collect::<Vec<_>>().join(" "));
    groups.find(|group| !group.is_empty()).unwrap_or_default()
}

/// A DA as `2026-01-31`; empty for what is none.
fn date(text: &str) -> String {
    match (text.get(..4), text.get(4..6), text.get(6..8)) {
        (Some(year), Some(month), Some(day)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{year}-{month}-{day}")
        }
        _ => String::new(),
    }
}

/// A TM as `10:15`.
fn time(text: &str) -> Option<String> {
    let (hour, minute) = (text.get(..2)?, text.get(2..4)?);
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(hour) && is_number(minute)).then(|| format!("{hour}:{minute}"))
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::*;
    use crate::pixel::Channels;

    fn instance() -> Attributes {
        let mut attributes = Attributes::new();
        for (tag, vr, text) in [
            (tags::PATIENT_NAME, VR::PN, "Nguyễn^Thị Đào"),
            (tags::PATIENT_ID, VR::LO, "BN-0001"),
            (tags::PATIENT_BIRTH_DATE, VR::DA, "19701231"),
            (tags::PATIENT_SEX, VR::CS, "F"),
            (tags::MODALITY, VR::CS, "CT"),
            (tags::STUDY_DATE, VR::DA, "20260131"),
            (tags::STUDY_TIME, VR::TM, "101530.5"),
            (tags::SERIES_NUMBER, VR::IS, "2"),
            (tags::INSTANCE_NUMBER, VR::IS, "7"),
            (tags::NUMBER_OF_FRAMES, VR::IS, "10"),
            (tags::SERIES_DESCRIPTION, VR::LO, "Ngực"),
            (tags::KVP, VR::DS, "120"),
            (tags::SLICE_THICKNESS, VR::DS, "5.0"),
        ] {
            attributes.put_text(tag, vr, text);
        }
        attributes
    }

    const BOTH: Annotation = Annotation { patient: true, technique: true };

    #[test]
    fn whose_it_is_and_how_it_was_made_are_told_line_by_line() {
        let third = FrameNumber::new(3).unwrap();
        let captions = Captions::read(&instance(), third, BOTH);
        assert_eq!(captions.patient, ["Nguyễn Thị Đào", "BN-0001  1970-12-31  F"]);
        let technique = ["CT  2026-01-31  10:15", "S 2  I 7  F 3/10", "Ngực", "120 kV  5.0 mm"];
        assert_eq!(captions.technique, technique);
        let technique = Captions::read(&instance(), third, Annotation { patient: false, ..BOTH });
        assert!(technique.patient.is_empty() && technique.technique == captions.technique);
        assert_eq!(Captions::read(&instance(), third, Annotation::default()), Captions::default());
        let none = Captions::read(&Attributes::new(), third, BOTH);
        assert_eq!(none, Captions::default());
    }

    #[test]
    fn what_is_no_date_or_number_is_not_told() {
        let mut odd = instance();
        odd.put_text(tags::PATIENT_BIRTH_DATE, VR::DA, "in 1970");
        odd.put_text(tags::PATIENT_AGE, VR::AS, "055Y");
        odd.put_text(tags::KVP, VR::DS, "high");
        odd.put_text(tags::STUDY_TIME, VR::TM, "ab");
        odd.put_text(tags::PATIENT_NAME, VR::PN, "=山田^太郎");
        let captions = Captions::read(&odd, FrameNumber::FIRST, BOTH);
        assert_eq!(captions.patient, ["山田 太郎", "BN-0001  055Y  F"]);
        assert_eq!((&*captions.technique[0], &*captions.technique[3]), ("CT  2026-01-31", "5.0 mm"));
    }

    #[test]
    fn words_stand_at_the_upper_and_the_lower_edge_of_a_picture_of_any_size() {
        let captions = Captions::read(&instance(), FrameNumber::FIRST, BOTH);
        for (width, height) in [(512, 512), (2000, 1500), (256, 96), (3, 2), (1, 4000)] {
            let size = usize::try_from(width * height).unwrap();
            let mut picture = Bitmap { width, height, channels: Channels::Grey, bytes: vec![50; size] };
            captions.draw(&mut picture);
            if width < 256 {
                continue;
            }
            let rows: Vec<&[u8]> = picture.bytes.chunks(usize::try_from(width).unwrap()).collect();
            let is_written = |rows: &[&[u8]]| rows.iter().any(|row| row.iter().any(|byte| *byte > 150));
            let third = rows.len() / 3;
            assert!(is_written(&rows[..third]) && is_written(&rows[rows.len() - third..]), "{width}");
            assert!(height < 512 || !is_written(&rows[third..2 * third]), "{width}");
            // Nothing is cut off at the right edge.
            assert!(width < 512 || rows.iter().all(|row| row.last() == Some(&50)), "{width}");
        }
    }
}
