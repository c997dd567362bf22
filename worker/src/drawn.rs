//! Thumbnails of what has no frame that can be shown: drawn, so that a list of series tells what is there.
//!
//! | what | drawn |
//! |---|---|
//! | waveforms | the first channels as curves |
//! | RT structure sets | the outlines of the plane that has most of them, in their colours |
//! | video, reports, documents, presentation states, plans and the like | a card with its kind, and how long it is |
//! | images that cannot be shown | a card that says so |
//!
//! Nothing on a drawing names the patient, or is a text that somebody wrote.

mod canvas;
mod kind;
mod outlines;
mod waveform;

use dicom_store::Session;
use dicom_store::model::{Attributes, Element, Encoding, Instance, Value};

use crate::pixel::{self, Bitmap, Format, Viewport, encode, fit};
use crate::transcode::{little_endian, unit};
use crate::{CpuPool, Result};
use canvas::Canvas;
use outlines::Outlines;
use waveform::Waves;

/// The form of thumbnails.
const FORMAT: Format = Format::Jpeg { quality: 90 };

/// Width and height of a drawing.
const SIZE: (i32, i32) = (256, 192);

/// Bytes of the values that one drawing is made of.
const MOST_BYTES: u64 = 4 << 20;

/// A thumbnail for an instance without a frame that can be shown, drawn on the pool, no larger than `within` (columns and
/// rows); `None` where nothing is known of its kind.
///
/// # Errors
/// What the archive answers; `Pixel` when the drawing cannot be encoded.
pub async fn thumbnail(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    within: (u32, u32),
) -> Result<Option<Vec<u8>>> {
    let subject = Subject::read(session, instance).await?;
    let work = move || subject.draw().map(|drawing| file(drawing, within)).transpose();
    Ok(pool.run(work).await??)
}

/// The same for images that cannot be shown.
///
/// # Errors
/// `Pixel` when it cannot be encoded.
pub async fn not_shown(pool: &CpuPool, within: (u32, u32)) -> Result<Vec<u8>> {
    Ok(pool.run(move || file(kind::not_shown().into_bitmap(), within)).await??)
}

fn file(drawing: Bitmap, within: (u32, u32)) -> pixel::Result<Vec<u8>> {
    let (width, height) = (within.0.min(drawing.width), within.1.min(drawing.height));
    let is_smaller = width < drawing.width || height < drawing.height;
    let viewport = Viewport { width, height, region: None };
    let drawing = if is_smaller { fit(drawing, &viewport, 1.0)? } else { drawing };
    encode(&drawing, FORMAT, None)
}

/// What a drawing is made of.
struct Subject {
    instance: Instance,
    attributes: Attributes,
    waves: Option<Waves>,
    outlines: Outlines,
}

impl Subject {
    async fn read(session: &Session, instance: &Instance) -> Result<Self> {
        let header = session.header(instance).await?;
        let attributes = header.attributes()?;
        let mut source = Source { session, instance, encoding: header.encoding(), left: MOST_BYTES };
        let waves = Waves::read(&attributes, &mut source).await?;
        let outlines = Outlines::read(&attributes, &mut source).await?;
        Ok(Self { instance: instance.clone(), attributes, waves, outlines })
    }

    fn draw(&self) -> Option<Bitmap> {
        let drawing = self.waves.as_ref().map(Waves::draw).or_else(|| self.outlines.draw());
        drawing.or_else(|| kind::card(&self.instance, &self.attributes)).map(Canvas::into_bitmap)
    }
}

/// Values that may lie in the object.
struct Source<'a> {
    session: &'a Session,
    instance: &'a Instance,
    encoding: Encoding,
    /// Bytes that may still be read.
    left: u64,
}

impl Source<'_> {
    /// The beginning of a value, little endian; empty where there is none, or too much has been read.
    async fn value(&mut self, element: Option<&Element>) -> Result<Vec<u8>> {
        let Some(element) = element else { return Ok(Vec::new()) };
        match &element.value {
            Value::Bytes(bytes) => Ok(bytes.to_vec()),
            Value::Bulk(bulk) if !bulk.encapsulated => {
                let length = bulk.length.min(self.left) & !7;
                self.left -= length;
                let bytes = self.session.read(self.instance, bulk.offset..bulk.offset + length).await?;
                let unit = if self.encoding == Encoding::ExplicitBig { unit(element.vr) } else { 1 };
                Ok(little_endian(bytes, unit).to_vec())
            }
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
