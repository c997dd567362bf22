//! An instance written anew, uncompressed, in Explicit or Implicit VR Little Endian (PS3.5 §A.1, §A.2).
//!
//! The elements come from the header in the index; values that were left in the object are put in their
//! places as they are sent, and Pixel Data that is compressed is decoded frame by frame.

use bytes::{BufMut, Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::{
    Attributes, Bulk, Element, Encoding, Error, ErrorKind, FrameMap, FrameNumber, Instance, Result, Tag, VR,
    Value,
};
use dicom_store::{STEP, Session};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use worker::CpuPool;
use worker::frame;
use worker::pixel::{ImageInfo, NativeFrame};

use super::outlet::Outlet;

/// Frames that are decoded ahead of the one that is sent.
const AHEAD: usize = 2;

/// Values inside of sequences are written from memory; all of them together may have so many bytes.
const MOST_NESTED: u64 = 64 << 20;

struct Source<'a> {
    session: &'a Session,
    pool: &'a CpuPool,
    instance: &'a Instance,
    frames: FrameMap,
    stored: Encoding,
}

pub(super) async fn read(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    encoding: Encoding,
    outlet: &mut Outlet<'_>,
) -> Result<()> {
    let (header, frames) = session.header_and_frames(instance).await?;
    let source = Source { session, pool, instance, frames, stored: header.encoding() };
    let attributes = header.attributes()?;
    let mut decoding = source.decoding(&attributes).await?;
    let mut run = Attributes::new();
    for element in attributes.iter().filter(|element| element.tag.1 != 0) {
        match (&element.value, &decoding) {
            (Value::Bulk(bulk), Some(_)) if bulk.encapsulated && element.tag == tags::PIXEL_DATA => {
                outlet.put(std::mem::take(&mut run).write(encoding).into()).await;
                if let Some(decoding) = decoding.take() {
                    source.send_frames(decoding, encoding, outlet).await?;
                }
            }
            (Value::Bulk(bulk), _) if !bulk.encapsulated => {
                outlet.put(std::mem::take(&mut run).write(encoding).into()).await;
                source.send_bulk(element, *bulk, encoding, outlet).await?;
            }
            (Value::Bulk(_), _) => {
                let what = format!("{} is compressed in a way that cannot be undone here", element.tag);
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            _ => run.put(source.in_memory(element, decoding.as_ref()).await?),
        }
    }
    outlet.put(run.write(encoding).into()).await;
    Ok(())
}

/// Pixel Data that is decoded on the way.
struct Decoding {
    info: ImageInfo,
    first: NativeFrame,
}

impl Source<'_> {
    /// Decodes the first frame, if there is one to decode, to know what the pixels become.
    async fn decoding(&self, attributes: &Attributes) -> Result<Option<Decoding>> {
        if !self.frames.is_encapsulated() || self.frames.count() == 0 {
            return Ok(None);
        }
        let info = ImageInfo::read(attributes, FrameNumber::FIRST).map_err(undecodable)?;
        info.check_joined().map_err(undecodable)?;
        let first = self.decoded(info.clone(), FrameNumber::FIRST).await?;
        Ok(Some(Decoding { info, first }))
    }

    async fn decoded(&self, info: ImageInfo, number: FrameNumber) -> Result<NativeFrame> {
        let decoded = frame::native(self.session, self.pool, self.instance, &self.frames, info, number);
        decoded.await.map_err(|cause| match cause {
            worker::Error::Store(cause) => cause,
            cause => undecodable(cause),
        })
    }

    async fn send_frames(
        &self,
        decoding: Decoding,
        encoding: Encoding,
        outlet: &mut Outlet<'_>,
    ) -> Result<()> {
        let Decoding { info, first } = decoding;
        let frame = first.bytes.len();
        let count = self.frames.count();
        let length = (frame as u64).saturating_mul(u64::from(count));
        let vr = if info.bits_allocated > 8 { VR::OW } else { VR::OB };
        outlet.put(head(tags::PIXEL_DATA, vr, length, encoding)?).await;
        outlet.put(first.bytes).await;
        let numbers = stream::iter((2..=count).filter_map(FrameNumber::new));
        let mut rest = numbers.map(|number| self.decoded(info.clone(), number)).buffered(AHEAD);
        while let Some(decoded) = rest.next().await {
            let bytes = decoded?.bytes;
            if bytes.len() != frame {
                return Err(Error::corrupt(format!("a frame has {} bytes, the first {frame}", bytes.len())));
            }
            outlet.put(bytes).await;
        }
        pad(length, outlet).await;
        Ok(())
    }

    async fn send_bulk(
        &self,
        element: &Element,
        bulk: Bulk,
        encoding: Encoding,
        outlet: &mut Outlet<'_>,
    ) -> Result<()> {
        outlet.put(head(element.tag, element.vr, bulk.length, encoding)?).await;
        let end = bulk.offset.saturating_add(bulk.length);
        let mut at = bulk.offset;
        while at < end {
            let to = end.min(at + STEP);
            outlet.put(self.range(at, to, element.vr).await?).await;
            at = to;
        }
        pad(bulk.length, outlet).await;
        Ok(())
    }

    /// Bytes of the object, little endian.
    async fn range(&self, from: u64, to: u64, vr: VR) -> Result<Bytes> {
        let bytes = self.session.read(self.instance, from..to).await?;
        let width = if self.stored == Encoding::ExplicitBig { width(vr) } else { 1 };
        if width == 1 {
            return Ok(bytes);
        }
        let mut bytes = bytes.to_vec();
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        Ok(bytes.into())
    }

    /// An element as it is written: described as the decoded pixels are, values in sequences fetched.
    async fn in_memory(&self, element: &Element, decoding: Option<&Decoding>) -> Result<Element> {
        let photometric = decoding.and_then(|decoding| decoding.first.photometric.as_str());
        match (&element.value, photometric) {
            (Value::Bytes(_), Some(photometric)) if element.tag == tags::PHOTOMETRIC_INTERPRETATION => {
                let value = Value::Bytes(Bytes::from_static(photometric.as_bytes()));
                Ok(Element { value, ..element.clone() })
            }
            (Value::Items(items), _) => {
                let mut room = MOST_NESTED;
                Ok(Element { value: Value::Items(self.items(items, &mut room).await?), ..element.clone() })
            }
            _ => Ok(element.clone()),
        }
    }

    fn items<'b>(
        &'b self,
        items: &'b [Attributes],
        room: &'b mut u64,
    ) -> BoxFuture<'b, Result<Vec<Attributes>>> {
        async move {
            let mut fetched = Vec::with_capacity(items.len());
            for item in items {
                let mut copy = item.clone();
                for element in item {
                    let value = match &element.value {
                        Value::Bytes(_) => continue,
                        Value::Items(items) => Value::Items(self.items(items, room).await?),
                        Value::Bulk(bulk) => Value::Bytes(self.nested(element, *bulk, room).await?),
                    };
                    copy.put(Element { value, ..element.clone() });
                }
                fetched.push(copy);
            }
            Ok(fetched)
        }
        .boxed()
    }

    async fn nested(&self, element: &Element, bulk: Bulk, room: &mut u64) -> Result<Bytes> {
        // Fragments inside of a sequence (an icon) have no uncompressed form that anybody would miss.
        if bulk.encapsulated {
            return Ok(Bytes::new());
        }
        *room = room.checked_sub(bulk.length).ok_or_else(|| {
            let what = format!("values in sequences have more than {MOST_NESTED} bytes");
            Error::new(ErrorKind::TooLarge, what)
        })?;
        self.range(bulk.offset, bulk.offset.saturating_add(bulk.length), element.vr).await
    }
}

fn undecodable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Invalid, format!("the pixel data cannot be decoded: {cause}"))
}

async fn pad(length: u64, outlet: &mut Outlet<'_>) {
    if length % 2 == 1 {
        outlet.put(Bytes::from_static(&[0])).await;
    }
}

/// Tag, VR and length of an element whose value is sent by itself; the length is made even.
fn head(tag: Tag, vr: VR, length: u64, encoding: Encoding) -> Result<Bytes> {
    let even = length + length % 2;
    let too_long =
        || Error::new(ErrorKind::TooLarge, format!("a value of {length} bytes cannot be uncompressed"));
    let long = u32::try_from(even).ok().filter(|&long| long != u32::MAX).ok_or_else(too_long)?;
    let mut head = BytesMut::with_capacity(12);
    head.put_u16_le(tag.0);
    head.put_u16_le(tag.1);
    match (encoding, u16::try_from(even)) {
        (Encoding::ImplicitLittle, _) => head.put_u32_le(long),
        (_, Ok(short)) if !is_long(vr) => {
            head.put_slice(&vr.to_bytes());
            head.put_u16_le(short);
        }
        _ => {
            // What does not fit a length of 16 bits goes as UN (PS3.5 §6.2.2).
            head.put_slice(&if is_long(vr) { vr } else { VR::UN }.to_bytes());
            head.put_u16_le(0);
            head.put_u32_le(long);
        }
    }
    Ok(head.freeze())
}

/// Whether the explicit form has a length of 32 bits (PS3.5 §7.1.2).
fn is_long(vr: VR) -> bool {
    let is_other = matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::SQ);
    is_other || matches!(vr, VR::SV | VR::UC | VR::UN | VR::UR | VR::UT | VR::UV)
}

/// Bytes of one number; 1 where bytes have no order.
fn width(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}
