//! Shutters and graphics by their geometry (PS3.3 §C.7.6.11, §C.10.5). Pixels are counted from 1, columns first.

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, Tag};

use super::draw::Canvas;
use super::overlay;
use crate::pixel::Overlay;

/// Sides of the polygon that a circle or an ellipse is drawn as.
const SIDES: u32 = 180;
/// Points of one graphic; more are not drawn by hand.
const MOST_POINTS: usize = 100_000;

/// What of the image may be seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shutter {
    /// Left, upper, right, lower; what lies on them is hidden.
    Rectangle([f64; 4]),
    Circle {
        center: (f64, f64),
        radius: f64,
    },
    Polygon(Vec<(f64, f64)>),
    /// Its bits are hidden (PS3.3 §C.7.6.15).
    Bitmap(Overlay),
}

impl Shutter {
    pub(super) fn read(state: &Attributes, kind: &str, frame: FrameNumber) -> Option<Self> {
        match kind {
            "RECTANGULAR" => {
                let edge = |tag: Tag| state.float(tag);
                Some(Self::Rectangle([
                    edge(tags::SHUTTER_LEFT_VERTICAL_EDGE)?,
                    edge(tags::SHUTTER_UPPER_HORIZONTAL_EDGE)?,
                    edge(tags::SHUTTER_RIGHT_VERTICAL_EDGE)?,
                    edge(tags::SHUTTER_LOWER_HORIZONTAL_EDGE)?,
                ]))
            }
            "CIRCULAR" => {
                let center = state.floats(tags::CENTER_OF_CIRCULAR_SHUTTER);
                let center = (*center.get(1)?, *center.first()?);
                Some(Self::Circle { center, radius: state.float(tags::RADIUS_OF_CIRCULAR_SHUTTER)? })
            }
            "POLYGONAL" => {
                let numbers = state.floats(tags::VERTICES_OF_THE_POLYGONAL_SHUTTER);
                // Rows come first.
                let vertices: Vec<_> = numbers.as_chunks::<2>().0.iter().map(|[y, x]| (*x, *y)).collect();
                (3..=MOST_POINTS).contains(&vertices.len()).then_some(Self::Polygon(vertices))
            }
            "BITMAP" => {
                let group = state.int(tags::SHUTTER_OVERLAY_GROUP)?;
                Some(Self::Bitmap(Overlay::read(state, u16::try_from(group).ok()?, frame)?))
            }
            _ => None,
        }
    }

    /// Gives a shade to all that may not be seen.
    pub(super) fn draw(&self, canvas: &mut Canvas, shade: u8) {
        match self {
            Self::Rectangle([left, upper, right, lower]) => {
                canvas.paint(|x, y| x <= *left || x >= *right || y <= *upper || y >= *lower, shade);
            }
            Self::Circle { center, radius } => {
                canvas.paint(|x, y| (x - center.0).hypot(y - center.1) > *radius, shade);
            }
            Self::Polygon(vertices) => canvas.fill_around(vertices, shade),
            Self::Bitmap(overlay) => overlay::draw(overlay, canvas, shade),
        }
    }
}

/// Something drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Graphic {
    points: Vec<(f64, f64)>,
    /// A dot, not a line.
    is_point: bool,
    is_filled: bool,
    /// Points are parts of the displayed area, from 0 to 1, and not pixels.
    is_of_display: bool,
    shade: u8,
}

impl Graphic {
    /// `None` for a type that is not drawn.
    pub(super) fn read(object: &Attributes, shade: u8) -> Option<Self> {
        let numbers = object.floats(tags::GRAPHIC_DATA);
        let given: Vec<_> = numbers.as_chunks::<2>().0.iter().map(|[x, y]| (*x, *y)).collect();
        let is_usable = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        if given.is_empty() || given.len() > MOST_POINTS || !given.iter().all(is_usable) {
            return None;
        }
        let kind = object.text(tags::GRAPHIC_TYPE)?;
        let points = match (kind.as_str(), given.as_slice()) {
            ("POINT" | "POLYLINE" | "INTERPOLATED", _) => given.clone(),
            ("CIRCLE", [center, on, ..]) => {
                let radius = (on.0 - center.0).hypot(on.1 - center.1);
                round(*center, (radius, 0.0), (0.0, radius))
            }
            ("ELLIPSE", [a, b, c, d, ..]) => {
                let center = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
                let half =
                    |from: &(f64, f64), to: &(f64, f64)| ((to.0 - from.0) / 2.0, (to.1 - from.1) / 2.0);
                round(center, half(a, b), half(c, d))
            }
            _ => return None,
        };
        Some(Self {
            points,
            is_point: kind == "POINT",
            is_filled: object.text(tags::GRAPHIC_FILLED).as_deref() == Some("Y"),
            is_of_display: object.text(tags::GRAPHIC_ANNOTATION_UNITS).as_deref() == Some("DISPLAY"),
            shade,
        })
    }

    /// Whether its points are of the display: it is not turned with the image.
    pub(super) fn is_of_display(&self) -> bool {
        self.is_of_display
    }

    /// Its points.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// `area` is what is displayed, in pixels.
    pub(super) fn draw(&self, canvas: &mut Canvas, area: [f64; 4]) {
        let [left, upper, right, lower] = area;
        let place = |(x, y): &(f64, f64)| match self.is_of_display {
            true => (left + x * (right - left), upper + y * (lower - upper)),
            false => (*x, *y),
        };
        let points: Vec<_> = self.points.iter().map(place).collect();
        if self.is_point {
            points.iter().for_each(|point| canvas.dot(*point, self.shade));
            return;
        }
        if self.is_filled {
            canvas.fill(&points, self.shade);
        }
        for (from, to) in points.iter().zip(points.iter().skip(1)) {
            canvas.line(*from, *to, self.shade);
        }
    }
}

/// The outline around a center with these half axes.
fn round(center: (f64, f64), a: (f64, f64), b: (f64, f64)) -> Vec<(f64, f64)> {
    let at = |side: u32| {
        let angle = f64::from(side) / f64::from(SIDES) * std::f64::consts::TAU;
        let (sin, cos) = angle.sin_cos();
        (center.0 + a.0 * cos + b.0 * sin, center.1 + a.1 * cos + b.1 * sin)
    };
    (0..=SIDES).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{Bitmap, Channels};

    #[test]
    fn shutters_hide_what_is_outside() {
        let seen = |shutter: Shutter| {
            let bytes = vec![1; 81];
            let picture = Bitmap { width: 9, height: 9, channels: Channels::Grey, bytes };
            let mut canvas = Canvas::new(picture);
            shutter.draw(&mut canvas, 0);
            let bytes = canvas.into_picture().bytes;
            move |x: usize, y: usize| bytes[(y - 1) * 9 + x - 1] == 1
        };
        let circle = seen(Shutter::Circle { center: (5.0, 5.0), radius: 2.0 });
        assert!(circle(6, 6) && !circle(7, 7));
        let triangle = seen(Shutter::Polygon(vec![(1.0, 1.0), (9.0, 1.0), (1.0, 9.0)]));
        assert!(triangle(3, 3) && !triangle(7, 7) && !triangle(9, 9));
    }

    #[test]
    fn an_ellipse_goes_through_the_ends_of_its_axes() {
        let outline = round((5.0, 5.0), (3.0, 0.0), (0.0, 1.0));
        let near = |x: f64, y: f64| outline.iter().any(|point| (point.0 - x).hypot(point.1 - y) < 0.2);
        assert!(near(8.0, 5.0) && near(2.0, 5.0) && near(5.0, 6.0) && near(5.0, 4.0));
        assert!(!near(8.0, 6.0));
    }
}
