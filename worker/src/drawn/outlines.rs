//! The outlines of an RT structure set (PS3.3 §C.8.8.6).

use std::collections::BTreeMap;

use dicom::dictionary_std::tags;
use dicom_store::model::Attributes;

use super::canvas::{Canvas, Colour, WHITE};
use super::{SIZE, Source};
use crate::Result;

/// Outlines that are looked at.
const MOST_OUTLINES: usize = 4000;

/// Space around the outlines.
const MARGIN: f64 = 10.0;

struct Outline {
    colour: Colour,
    points: Vec<[f64; 3]>,
}

/// Contour Data of all structures, each with its colour.
pub(super) struct Outlines(Vec<(Colour, Vec<u8>)>);

impl Outlines {
    /// None of them for what has none.
    pub(super) async fn read(attributes: &Attributes, source: &mut Source<'_>) -> Result<Self> {
        let mut outlines = Vec::new();
        for structure in attributes.items(tags::ROI_CONTOUR_SEQUENCE) {
            let colour = colour(structure);
            for contour in structure.items(tags::CONTOUR_SEQUENCE) {
                if outlines.len() >= MOST_OUTLINES {
                    break;
                }
                outlines.push((colour, source.value(contour.get(tags::CONTOUR_DATA)).await?));
            }
        }
        Ok(Self(outlines))
    }

    /// None where there is no line.
    pub(super) fn draw(&self) -> Option<Canvas> {
        let outlines = self.0.iter().map(|(colour, text)| Outline { colour: *colour, points: points(text) });
        let outlines: Vec<Outline> = outlines.filter(|outline| outline.points.len() > 1).collect();
        fullest_plane(&outlines).map(|plane| drawn(&plane))
    }
}

fn colour(structure: &Attributes) -> Colour {
    let numbers: Vec<u8> = structure
        .ints(tags::ROI_DISPLAY_COLOR)
        .iter()
        .filter_map(|number| u8::try_from(*number).ok())
        .collect();
    numbers.first_chunk::<3>().copied().unwrap_or(WHITE)
}

/// What a value that was cut off ends with is no number any more, and left out with its point.
fn points(text: &[u8]) -> Vec<[f64; 3]> {
    let text = String::from_utf8_lossy(text);
    let numbers = text.split('\\').map(|number| number.trim_matches([' ', '\0']).parse::<f64>());
    let numbers: Vec<f64> =
        numbers.map_while(std::result::Result::ok).filter(|number| number.is_finite()).collect();
    numbers.as_chunks::<3>().0.to_vec()
}

/// The outlines at the height where most points are.
fn fullest_plane(outlines: &[Outline]) -> Option<Vec<&Outline>> {
    #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
    let height = |outline: &Outline| outline.points.first().map_or(0, |[_, _, z]| (z * 10.0).round() as i64);
    let mut points: BTreeMap<i64, usize> = BTreeMap::new();
    for outline in outlines {
        *points.entry(height(outline)).or_default() += outline.points.len();
    }
    let (fullest, _) = points.into_iter().max_by_key(|(_, count)| *count)?;
    Some(outlines.iter().filter(|outline| height(outline) == fullest).collect())
}

fn drawn(outlines: &[&Outline]) -> Canvas {
    let of_all = |axis: usize| {
        outlines.iter().flat_map(|outline| &outline.points).filter_map(move |point| point.get(axis))
    };
    let range = |axis: usize| {
        let (low, high) =
            of_all(axis).fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(*at), high.max(*at)));
        (low, (high - low).max(1.0))
    };
    let ((left, width), (top, height)) = (range(0), range(1));
    let (columns, rows) = (f64::from(SIZE.0), f64::from(SIZE.1));
    let scale = ((columns - 2.0 * MARGIN) / width).min((rows - 2.0 * MARGIN) / height);
    let (left, top) = (left - (columns / scale - width) / 2.0, top - (rows / scale - height) / 2.0);
    #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
    let place = |[x, y, _]: &[f64; 3]| (((x - left) * scale) as i32, ((y - top) * scale) as i32);
    let mut canvas = Canvas::new();
    for Outline { colour, points } in outlines {
        let next = points.iter().skip(1).chain(points.first());
        points.iter().zip(next).for_each(|(from, to)| canvas.line(place(from), place(to), *colour));
    }
    canvas
}
