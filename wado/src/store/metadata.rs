//! Metadata and bulk data that come in parts of their own (PS3.18 §10.5.1.4).
//!
//! A data set waits for the values that it tells by URL. Values are held, within bounds, until all others are there;
//! the pixel data, which come last as a rule, then go to the archive as they come ([`super::pixels`]). Whatever is
//! wrong with one instance harms no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::transfer_syntax::EXPLICIT_LITTLE;
use dicom_store::model::{Attributes, SopClassUid, SopInstanceUid, Tag, TransferSyntaxUid};
use dicom_store::{Declared, Error, ErrorKind, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outcome::Named;
use super::pixels::{Pixels, named_syntax, transfer_syntax};
use super::{Failure, Source, Stop, Storing};
use crate::accept::{DICOM_XML, OCTET_STREAM, media_type};
use crate::dicom_json::read::{self, Object, Reference};
use crate::dicom_xml;
use crate::multipart::{Fields, Malformed};

/// Metadata of one request, in bytes; a study of thousands of instances stays far below.
const MAX_METADATA: usize = 16 << 20;
/// Metadata of one instance, in bytes: taken apart they need some seventy times the memory.
const MAX_OBJECT: usize = 2 << 20;
/// Bytes of one value that is held.
const MAX_HELD: usize = 32 << 20;
/// Instances of one request whose pixel data are under way.
const MAX_OPEN: usize = 4;
/// Bytes of a stream that are looked at for what it is.
const MAX_HEAD: usize = 1 << 20;
/// Bytes that all requests together may hold, and how many of them are counted as one.
const HOLDING: usize = 256 << 20;
const UNIT: usize = 1024;

/// Memory for what is held, one for all requests; and whose turn it is to take metadata apart.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    memory: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Default for Holding {
    fn default() -> Self {
        Self { memory: Arc::new(Semaphore::new(HOLDING / UNIT)), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Holding {
    /// # Errors
    /// `Exhausted` when others hold so much that this does not fit.
    fn take(&self, bytes: usize) -> dicom_store::Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.memory.clone().try_acquire_many_owned(units).map_err(|_| {
            Error::new(ErrorKind::Exhausted, "requests with metadata hold as much memory as they may")
        })
    }

    /// A part in memory, with the room that it takes there.
    pub(super) async fn hold(
        &self,
        source: &mut impl Source,
        limit: usize,
        what: &str,
    ) -> Result<(BytesMut, OwnedSemaphorePermit), Failure> {
        let (mut bytes, mut room) = (BytesMut::new(), self.take(0).map_err(Failure::Store)?);
        while let Some(chunk) = source.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                let what = format!("{what} is longer than {} MiB", limit >> 20);
                return Err(Failure::Store(Error::new(ErrorKind::TooLarge, what)));
            }
            room.merge(self.take(chunk.len()).map_err(Failure::Store)?);
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, room))
    }
}

/// The instances of a request that metadata tell of.
pub(super) struct Described {
    /// Bytes of metadata so far.
    metadata: usize,
    permits: Vec<OwnedSemaphorePermit>,
    instances: Vec<Instance>,
    opening: Arc<Semaphore>,
}

impl Default for Described {
    fn default() -> Self {
        let opening = Arc::new(Semaphore::new(MAX_OPEN));
        Self { metadata: 0, permits: Vec::new(), instances: Vec::new(), opening }
    }
}

/// An instance that tells of bulk data.
struct Instance {
    /// Among the outcomes.
    place: usize,
    urls: HashSet<String>,
    /// `None` once it is settled: more parts of it are passed over.
    waiting: Option<Waiting>,
}

struct Waiting {
    text: Text,
    named: Named,
    /// As the metadata part has it.
    syntax: Option<TransferSyntaxUid>,
    missing: HashSet<String>,
    held: HashMap<String, Bytes>,
    pixels: Option<PixelParts>,
    /// Parts of them that came before other values.
    parts: Vec<Bytes>,
    open: Option<Open>,
    opening: Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
}

/// The metadata of one instance, as they came.
#[derive(Debug, Clone)]
struct Text {
    bytes: Bytes,
    is_xml: bool,
}

/// Where the pixel data of an instance come from.
struct PixelParts {
    tag: Tag,
    url: String,
    /// Of the first part.
    content_type: Option<String>,
}

/// An instance that the archive has up to its pixel data.
struct Open {
    incoming: Incoming,
    pixels: Pixels,
    /// What stands behind them.
    rest: Vec<u8>,
    _turn: OwnedSemaphorePermit,
}

impl Described {
    /// Takes a part of metadata.
    pub(super) async fn metadata(
        &mut self,
        storing: &mut Storing,
        source: &mut impl Source,
        content_type: &str,
    ) -> Result<(), Stop> {
        let limit = MAX_METADATA - self.metadata;
        let (text, room) = match storing.holding.hold(source, limit, "metadata of a request").await {
            Ok(held) => held,
            Err(Failure::Body(malformed)) => return Err(malformed.into()),
            Err(Failure::Store(error)) => return Err(Stop::Refused(error.into())),
        };
        self.permits.push(room);
        self.metadata += text.len();
        let syntax = named_syntax(content_type).and_then(|uid| TransferSyntaxUid::parse(&uid).ok());
        let (text, is_xml) = (text.freeze(), media_type(content_type).0 == DICOM_XML);
        let texts = if is_xml { Ok(vec![text]) } else { read::split(&text) };
        match texts {
            Ok(texts) => {
                for bytes in texts {
                    self.object(storing, Text { bytes, is_xml }, syntax.clone()).await?;
                }
            }
            Err(error) => {
                let place = storing.place()?;
                storing.fail(place, Named::default(), &error);
            }
        }
        Ok(())
    }

    async fn object(
        &mut self,
        storing: &mut Storing,
        text: Text,
        syntax: Option<TransferSyntaxUid>,
    ) -> Result<(), Stop> {
        let place = storing.place()?;
        let (named, looked_at) = text.read(&storing.holding, HashMap::new()).await;
        let mut instance = Instance { place, urls: HashSet::new(), waiting: None };
        match looked_at {
            Ok(read) => {
                let is_pixels = |told: &&Told| told.is_outermost && is_pixel_data(told.tag);
                let pixels = read.told.iter().find(is_pixels).map(|told| PixelParts {
                    tag: told.tag,
                    url: told.url.clone(),
                    content_type: None,
                });
                instance.urls = read.told.into_iter().map(|told| told.url).collect();
                let waiting = Waiting {
                    text,
                    named,
                    syntax,
                    missing: instance.urls.clone(),
                    held: HashMap::new(),
                    pixels,
                    parts: Vec::new(),
                    open: None,
                    opening: self.opening.clone(),
                    permits: Vec::new(),
                };
                instance.go_on(storing, waiting).await?;
            }
            Err(error) => storing.fail(place, named, &error),
        }
        self.instances.push(instance);
        Ok(())
    }

    /// Takes a part of bulk data.
    pub(super) async fn bulk(
        &mut self,
        storing: &mut Storing,
        source: &mut impl Source,
        fields: &Fields,
    ) -> Result<(), Stop> {
        let Some((instance, url)) = asked_for(&mut self.instances, fields.get("content-location")) else {
            let place = storing.place()?;
            let error = Error::invalid("no metadata tell of this part by its Content-Location");
            storing.fail(place, Named::default(), &error);
            return Ok(());
        };
        let Some(mut waiting) = instance.waiting.take() else { return Ok(()) };
        match waiting.take(storing, source, fields, &url).await {
            Ok(()) => instance.go_on(storing, waiting).await,
            Err(failure) => instance.failed(storing, waiting.named, failure),
        }
    }

    /// Accounts for those whose bulk data did not come.
    pub(super) fn finish(self, storing: &mut Storing) {
        for instance in self.instances {
            let Some(waiting) = instance.waiting else { continue };
            let what = match &waiting.open {
                Some(open) => open.pixels.missing(),
                None => format!("{} of its bulk data did not come", waiting.missing.len()),
            };
            storing.fail(instance.place, waiting.named, &Error::invalid(what));
        }
    }
}

/// Whose value a part is: that of the first instance that waits and tells of this URL. A part without a location is
/// what is waited for, if that is one thing.
fn asked_for<'a>(
    instances: &'a mut [Instance],
    location: Option<&str>,
) -> Option<(&'a mut Instance, String)> {
    if let Some(location) = location {
        let tells = |instance: &Instance| instance.urls.contains(location);
        let waits = |instance: &Instance| instance.waiting.is_some() && tells(instance);
        let at = instances.iter().position(waits).or_else(|| instances.iter().position(tells))?;
        return Some((instances.get_mut(at)?, location.to_owned()));
    }
    let mut waiting = instances.iter_mut().filter(|instance| instance.waiting.is_some());
    let (one, none) = (waiting.next()?, waiting.next().is_none());
    let url = one.urls.iter().next().filter(|_| none && one.urls.len() == 1)?.clone();
    Some((one, url))
}

impl Instance {
    /// Gives it to the archive as far as everything is there.
    async fn go_on(&mut self, storing: &mut Storing, mut waiting: Waiting) -> Result<(), Stop> {
        match waiting.advance(storing).await {
            Ok(None) => self.waiting = Some(waiting),
            Ok(Some(incoming)) => storing.commit(self.place, incoming, waiting.named).await,
            Err(failure) => return self.failed(storing, waiting.named, failure),
        }
        Ok(())
    }

    fn failed(&mut self, storing: &mut Storing, named: Named, failure: Failure) -> Result<(), Stop> {
        match failure {
            Failure::Body(malformed) => Err(malformed.into()),
            Failure::Store(error) if error.kind == ErrorKind::Forbidden => Err(Stop::Refused(error.into())),
            Failure::Store(error) => {
                storing.fail(self.place, named, &error);
                Ok(())
            }
        }
    }
}

impl Waiting {
    /// Takes a part that one of its URLs tells of: pixel data that nothing else is missing for flow, the rest is held.
    async fn take(
        &mut self,
        storing: &Storing,
        source: &mut impl Source,
        fields: &Fields,
        url: &str,
    ) -> Result<(), Failure> {
        let is_last = self.missing.len() == 1 && self.missing.contains(url);
        let Some(pixels) = self.pixels.as_mut().filter(|pixels| pixels.url == url) else {
            let bytes = self.hold(source, &storing.holding).await?;
            self.held.insert(url.to_owned(), bytes);
            self.missing.remove(url);
            return Ok(());
        };
        if pixels.content_type.is_none() {
            pixels.content_type = Some(fields.get("content-type").unwrap_or(OCTET_STREAM).to_owned());
        }
        if self.open.is_none() && !is_last {
            let bytes = self.hold(source, &storing.holding).await?;
            self.parts.push(bytes);
            self.missing.remove(url);
            return Ok(());
        }
        self.missing.remove(url);
        if self.open.is_some() {
            return self.flow(source, &storing.holding).await;
        }
        let (first, syntax) = self.begun(source).await?;
        self.open = Some(self.begin(storing, syntax).await.map_err(Failure::Store)?);
        self.flow(&mut Begun { first: Some(first), rest: source }, &storing.holding).await
    }

    /// As much of the pixel data as tells their transfer syntax.
    async fn begun(&self, source: &mut impl Source) -> Result<(Bytes, TransferSyntaxUid), Failure> {
        let content_type = self.pixels.as_ref().and_then(|pixels| pixels.content_type.as_deref());
        let content_type = content_type.unwrap_or(OCTET_STREAM);
        let mut first = BytesMut::new();
        loop {
            if let Some(syntax) = transfer_syntax(content_type, &first).map_err(Failure::Store)? {
                return Ok((first.freeze(), syntax));
            }
            match source.chunk().await? {
                Some(chunk) if first.len() + chunk.len() <= MAX_HEAD => first.extend_from_slice(&chunk),
                _ => {
                    return Err(Failure::Store(Error::invalid(
                        "pixel data do not say what kind of JPEG they are",
                    )));
                }
            }
        }
    }

    async fn flow(&mut self, source: &mut impl Source, holding: &Holding) -> Result<(), Failure> {
        match &mut self.open {
            Some(Open { incoming, pixels, .. }) => pixels.part(incoming, source, holding).await,
            None => Ok(()),
        }
    }

    async fn hold(&mut self, source: &mut impl Source, holding: &Holding) -> Result<Bytes, Failure> {
        let (bytes, room) = holding.hold(source, MAX_HELD, "a value that waits for others").await?;
        self.permits.push(room);
        Ok(bytes.freeze())
    }

    /// Goes on once nothing but pixel data is missing; gives the instance when it is whole.
    async fn advance(&mut self, storing: &Storing) -> Result<Option<Incoming>, Failure> {
        if !self.missing.is_empty() {
            return Ok(None);
        }
        if self.open.is_none() {
            let syntax = match (self.parts.first(), &self.syntax) {
                (Some(first), _) => {
                    self.begun(&mut Begun { first: Some(first.clone()), rest: &mut Nothing }).await?.1
                }
                (None, Some(syntax)) if !syntax.facts().encapsulated => syntax.clone(),
                (None, _) => TransferSyntaxUid::parse(EXPLICIT_LITTLE).map_err(Failure::Store)?,
            };
            self.open = Some(self.begin(storing, syntax).await.map_err(Failure::Store)?);
            for part in std::mem::take(&mut self.parts) {
                self.flow(&mut Begun { first: Some(part), rest: &mut Nothing }, &storing.holding).await?;
            }
        }
        match self.open.take() {
            Some(open) if open.pixels.is_complete() => open.finish().await.map(Some).map_err(Failure::Store),
            open => {
                self.open = open;
                Ok(None)
            }
        }
    }

    /// Gives the archive everything before the pixel data.
    async fn begin(&self, storing: &Storing, syntax: TransferSyntaxUid) -> dicom_store::Result<Open> {
        let turn = self.opening.clone().try_acquire_owned().map_err(|_| {
            Error::invalid(format!(
                "parts of more than {MAX_OPEN} instances come in turns; send one after the other"
            ))
        })?;
        let (_, read) = self.text.read(&storing.holding, self.held.clone()).await;
        let all = read?.attributes;
        storing.check_study(&all)?;
        let uid = |tag, what| all.uid(tag).ok_or_else(|| Error::invalid(format!("metadata have no {what}")));
        let declared = Declared::DataSet {
            sop_class: SopClassUid::parse(uid(tags::SOP_CLASS_UID, "SOP Class UID")?)?,
            sop_instance: SopInstanceUid::parse(uid(tags::SOP_INSTANCE_UID, "SOP Instance UID")?)?,
            transfer_syntax: syntax.clone(),
        };
        let mut incoming = storing.session.receive(storing.arrival(declared)).await?;
        let encoding = syntax.facts().encoding;
        let Some(pixels) = &self.pixels else {
            incoming.write(all.write(encoding).into()).await?;
            return Ok(Open { incoming, pixels: Pixels::None, rest: Vec::new(), _turn: turn });
        };
        let (mut before, mut rest) = (Attributes::new(), Attributes::new());
        for element in &all {
            if element.tag < pixels.tag { &mut before } else { &mut rest }.put(element.clone());
        }
        incoming.write(before.write(encoding).into()).await?;
        let (pixels, head) = Pixels::of(pixels.tag, &before, &syntax)?;
        incoming.write(head).await?;
        Ok(Open { incoming, pixels, rest: rest.write(encoding), _turn: turn })
    }
}

impl Open {
    async fn finish(mut self) -> dicom_store::Result<Incoming> {
        for end in [self.pixels.end(), self.rest.into()] {
            if !end.is_empty() {
                self.incoming.write(end).await?;
            }
        }
        Ok(self.incoming)
    }
}

/// A part whose first bytes have been looked at.
struct Begun<'a, S> {
    first: Option<Bytes>,
    rest: &'a mut S,
}

impl<S: Source> Source for Begun<'_, S> {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => Ok(Some(first)),
            None => self.rest.chunk().await,
        }
    }
}

/// A source that has come to its end.
struct Nothing;

impl Source for Nothing {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        Ok(None)
    }
}

fn is_pixel_data(tag: Tag) -> bool {
    [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA].contains(&tag)
}

/// A value that is told by a URL.
struct Told {
    tag: Tag,
    is_outermost: bool,
    url: String,
}

/// Metadata taken apart.
struct Read {
    attributes: Attributes,
    told: Vec<Told>,
}

impl Text {
    /// Takes it apart, with the values that are there; one at a time, for it takes many times the memory of the text.
    async fn read(
        &self,
        holding: &Holding,
        held: HashMap<String, Bytes>,
    ) -> (Named, dicom_store::Result<Read>) {
        if self.bytes.len() > MAX_OBJECT {
            let what = format!("metadata of an instance are longer than {} MiB", MAX_OBJECT >> 20);
            return (Named::default(), Err(Error::new(ErrorKind::TooLarge, what)));
        }
        let _turn = holding.turn.acquire().await;
        let Self { bytes, is_xml } = self.clone();
        let read = move || {
            let object = if is_xml { dicom_xml::read::object(&bytes) } else { read::object(&bytes) };
            match object {
                Ok(object) => (named(&object), data_set(&object, &held)),
                Err(error) => (Named::default(), Err(error)),
            }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|cause| {
            (Named::default(), Err(Error::internal("metadata were not read").with_source(cause)))
        })
    }
}

fn data_set(object: &Object, held: &HashMap<String, Bytes>) -> dicom_store::Result<Read> {
    let mut told = Vec::new();
    let attributes = read::data_set(object, &mut |reference| {
        let Reference { tag, is_outermost, url } = *reference;
        told.push(Told { tag, is_outermost, url: url.to_owned() });
        Ok(held.get(url).cloned())
    })?;
    Ok(Read { attributes, told })
}

fn named(object: &Object) -> Named {
    Named {
        sop_class: read::text(object, tags::SOP_CLASS_UID).and_then(|uid| SopClassUid::parse(uid).ok()),
        sop_instance: read::text(object, tags::SOP_INSTANCE_UID)
            .and_then(|uid| SopInstanceUid::parse(uid).ok()),
    }
}
