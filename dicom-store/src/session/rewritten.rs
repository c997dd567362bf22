//! A corrected instance as bytes: the data set written anew from the corrected header, the values that were
//! left in the object streamed from it by ranges. Nothing large is in memory.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{STEP, Session};
use crate::model::correction::has_foreign_bulk_text;
use crate::model::{Attributes, Bulk, Correction, Element, Instance, Piece, Value, pieces};
use crate::objects::blocking;
use crate::{Error, Result};

type Chunks = BoxStream<'static, Result<Bytes>>;

/// Long texts that are carried over into UTF-8 in memory, all together.
const MOST_TEXT: u64 = 32 << 20;

/// A data set that is ready to be streamed.
pub(super) struct Rewritten {
    session: Session,
    instance: Instance,
    pieces: Vec<Piece>,
}

impl Rewritten {
    /// # Errors
    /// As [`Session::header`] and [`Session::read`]; `TooLarge` when its long texts are in another character
    /// set and are too long to be carried over.
    pub(super) async fn plan(
        session: &Session,
        instance: &Instance,
        correction: &Correction,
    ) -> Result<Self> {
        let header = session.header(instance).await?;
        let mut received = header.received()?;
        if has_foreign_bulk_text(&received) {
            let mut room = MOST_TEXT;
            received = with_texts(session, instance, &received, &mut room).await?;
        }
        let pieces = pieces(&correction.apply(&received), header.encoding());
        Ok(Self { session: session.clone(), instance: instance.clone(), pieces })
    }

    /// Bytes of the data set; `None` for one that is deflated on its way.
    pub(super) fn length(&self) -> Option<u64> {
        let is_deflated = self.instance.transfer_syntax.facts().deflated;
        (!is_deflated).then(|| self.pieces.iter().map(Piece::length).sum())
    }

    pub(super) fn into_chunks(self) -> Chunks {
        let Self { session, instance, pieces } = self;
        let is_deflated = instance.transfer_syntax.facts().deflated;
        let chunks = stream::iter(pieces).map(move |piece| match piece {
            Piece::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Piece::Stored(range) => {
                let source = (session.clone(), instance.clone(), range);
                let read = try_unfold(source, |(session, instance, range)| async move {
                    if range.is_empty() {
                        return Ok(None);
                    }
                    let end = range.end.min(range.start + STEP);
                    let bytes = session.read(&instance, range.start..end).await?;
                    Ok(Some((bytes, (session, instance, end..range.end))))
                });
                read.boxed()
            }
        });
        let chunks = chunks.flatten().boxed();
        if is_deflated { deflated(chunks) } else { chunks }
    }
}

/// Deflates chunk by chunk, off the asynchronous threads; the end is padded to an even length (PS3.5 §A.5).
fn deflated(chunks: Chunks) -> Chunks {
    let encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let begun = (chunks, Some(encoder), 0u64);
    try_unfold(begun, |(mut chunks, encoder, written)| async move {
        let Some(mut encoder) = encoder else { return Ok::<_, Error>(None) };
        let next = chunks.try_next().await?;
        let (encoder, out) = blocking(move || {
            let Some(chunk) = next else {
                let mut last = encoder.finish()?;
                if (written + last.len() as u64) % 2 == 1 {
                    last.push(0);
                }
                return Ok((None, last));
            };
            encoder.write_all(&chunk)?;
            let out = std::mem::take(encoder.get_mut());
            Ok((Some(encoder), out))
        })
        .await?;
        let written = written + out.len() as u64;
        Ok(Some((Bytes::from(out), (chunks, encoder, written))))
    })
    .boxed()
}

/// The data set with its long texts in memory: their bytes in the object are in another character set than
/// the corrected data set is.
fn with_texts<'a>(
    session: &'a Session,
    instance: &'a Instance,
    attributes: &'a Attributes,
    room: &'a mut u64,
) -> BoxFuture<'a, Result<Attributes>> {
    async move {
        let mut copy = attributes.clone();
        for element in attributes {
            let value = match &element.value {
                Value::Bulk(bulk) if element.is_text() => {
                    Value::Bytes(text(session, instance, *bulk, room).await?)
                }
                Value::Items(items) => {
                    let mut read = Vec::with_capacity(items.len());
                    for item in items {
                        read.push(with_texts(session, instance, item, room).await?);
                    }
                    Value::Items(read)
                }
                _ => continue,
            };
            copy.put(Element { value, ..element.clone() });
        }
        Ok(copy)
    }
    .boxed()
}

async fn text(session: &Session, instance: &Instance, bulk: Bulk, room: &mut u64) -> Result<Bytes> {
    *room = room.checked_sub(bulk.length).ok_or_else(|| {
        let what = format!("texts of instance {} have over {MOST_TEXT} bytes", instance.sop_instance);
        Error::new(crate::ErrorKind::TooLarge, what)
    })?;
    session.read(instance, bulk.offset..bulk.offset.saturating_add(bulk.length)).await
}
