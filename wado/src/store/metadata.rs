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
use crate::dicom_json::read::{self, Object};
use crate::dicom_xml;
use crate::multipart::{Fields, Malformed};

/// Metadata of one request, in bytes; a study of thousands of instances stays far below.
const MAX_METADATA: usize = 16 << 20;
/// Bytes of one value that is held.
const MAX_HELD: usize = 32 << 20;
/// What metadata take in memory, as many times their text.
const METADATA_FACTOR: usize = 8;
/// Bytes that all requests together may hold, and how many of them are counted as one.
const HOLDING: usize = 256 << 20;
const UNIT: usize = 1024;

/// Memory for what is held, one for all requests.
#[derive(Debug, Clone)]
pub(crate) struct Holding(Arc<Semaphore>);

impl Default for Holding {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HOLDING / UNIT)))
    }
}

impl Holding {
    /// # Errors
    /// `Exhausted` when others hold so much that this does not fit.
    fn take(&self, bytes: usize) -> dicom_store::Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.0.clone().try_acquire_many_owned(units).map_err(|_| {
            Error::new(ErrorKind::Exhausted, "requests with metadata hold as much memory as they may")
        })
    }
}

/// The instances of a request that metadata tell of.
#[derive(Default)]
pub(super) struct Described {
    /// Bytes of metadata so far.
    metadata: usize,
    permits: Vec<OwnedSemaphorePermit>,
    instances: Vec<Instance>,
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
    object: Object,
    named: Named,
    /// As the metadata part has it.
    syntax: Option<TransferSyntaxUid>,
    missing: HashSet<String>,
    held: HashMap<String, Bytes>,
    pixels: Option<PixelParts>,
    /// Parts of them that came before other values.
    parts: Vec<Bytes>,
    open: Option<Open>,
    permits: Vec<OwnedSemaphorePermit>,
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
}

impl Described {
    /// Takes a part of metadata.
    pub(super) async fn metadata(
        &mut self,
        storing: &mut Storing,
        source: &mut impl Source,
        content_type: &str,
    ) -> Result<(), Stop> {
        let mut text = BytesMut::new();
        while let Some(chunk) = source.chunk().await? {
            self.metadata += chunk.len();
            if self.metadata > MAX_METADATA {
                let what = format!("metadata are longer than {} MiB", MAX_METADATA >> 20);
                return Err(Stop::Refused(Error::new(ErrorKind::TooLarge, what).into()));
            }
            text.extend_from_slice(&chunk);
        }
        let permit = storing.holding.take(text.len() * METADATA_FACTOR);
        self.permits.push(permit.map_err(|error| Stop::Refused(error.into()))?);
        let syntax = named_syntax(content_type).and_then(|uid| TransferSyntaxUid::parse(&uid).ok());
        let is_xml = media_type(content_type).0 == DICOM_XML;
        let read =
            move || if is_xml { Ok(vec![dicom_xml::read::object(&text)?]) } else { read::objects(&text) };
        let read = tokio::task::spawn_blocking(read).await;
        match read.unwrap_or_else(|cause| Err(Error::internal("metadata were not read").with_source(cause))) {
            Ok(objects) => {
                for object in objects {
                    self.object(storing, object, syntax.clone()).await?;
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
        object: Object,
        syntax: Option<TransferSyntaxUid>,
    ) -> Result<(), Stop> {
        let place = storing.place()?;
        let (mut urls, mut pixels) = (HashSet::new(), None);
        let looked_at = read::data_set(&object, &mut |reference| {
            urls.insert(reference.url.to_owned());
            if reference.is_outermost && is_pixel_data(reference.tag) {
                let (tag, url) = (reference.tag, reference.url.to_owned());
                pixels = Some(PixelParts { tag, url, content_type: None });
            }
            Ok(None)
        });
        let waiting = Waiting {
            named: named(&object),
            object,
            syntax,
            missing: urls.clone(),
            held: HashMap::new(),
            pixels,
            parts: Vec::new(),
            open: None,
            permits: Vec::new(),
        };
        let mut instance = Instance { place, urls, waiting: None };
        match looked_at {
            Ok(_) => instance.go_on(storing, waiting).await?,
            Err(error) => storing.fail(place, waiting.named, &error),
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
        if self.open.is_none() {
            let mut first = source.chunk().await?.unwrap_or_default();
            self.open = Some(self.begin(storing, &first).await.map_err(Failure::Store)?);
            let mut source = Begun { first: Some(std::mem::take(&mut first)), rest: source };
            return self.flow(&mut source).await;
        }
        self.flow(source).await
    }

    async fn flow(&mut self, source: &mut impl Source) -> Result<(), Failure> {
        match &mut self.open {
            Some(Open { incoming, pixels, .. }) => pixels.part(incoming, source).await,
            None => Ok(()),
        }
    }

    /// A part in memory.
    async fn hold(&mut self, source: &mut impl Source, holding: &Holding) -> Result<Bytes, Failure> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = source.chunk().await? {
            if bytes.len() + chunk.len() > MAX_HELD {
                let what = format!(
                    "a value that comes before others of its instance is longer than {} MiB",
                    MAX_HELD >> 20
                );
                return Err(Failure::Store(Error::new(ErrorKind::TooLarge, what)));
            }
            bytes.extend_from_slice(&chunk);
        }
        self.permits.push(holding.take(bytes.len()).map_err(Failure::Store)?);
        Ok(bytes.freeze())
    }

    /// Goes on once nothing but pixel data is missing; gives the instance when it is whole.
    async fn advance(&mut self, storing: &Storing) -> Result<Option<Incoming>, Failure> {
        if !self.missing.is_empty() {
            return Ok(None);
        }
        if self.open.is_none() {
            let first = self.parts.first().cloned().unwrap_or_default();
            self.open = Some(self.begin(storing, &first).await.map_err(Failure::Store)?);
            for part in std::mem::take(&mut self.parts) {
                self.flow(&mut Begun { first: Some(part), rest: &mut Nothing }).await?;
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

    /// Gives the archive everything before the pixel data, whose first bytes these are.
    async fn begin(&self, storing: &Storing, first: &[u8]) -> dicom_store::Result<Open> {
        let all = read::data_set(&self.object, &mut |reference| Ok(self.held.get(reference.url).cloned()))?;
        storing.check_study(&all)?;
        let syntax = match (&self.pixels, &self.syntax) {
            (Some(pixels), _) => {
                transfer_syntax(pixels.content_type.as_deref().unwrap_or(OCTET_STREAM), first)?
            }
            (None, Some(syntax)) if !syntax.facts().encapsulated => syntax.clone(),
            (None, _) => native()?,
        };
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
            return Ok(Open { incoming, pixels: Pixels::None, rest: Vec::new() });
        };
        let (mut before, mut rest) = (Attributes::new(), Attributes::new());
        for element in &all {
            if element.tag < pixels.tag { &mut before } else { &mut rest }.put(element.clone());
        }
        incoming.write(before.write(encoding).into()).await?;
        let (pixels, head) = Pixels::of(pixels.tag, &before, &syntax)?;
        incoming.write(head).await?;
        Ok(Open { incoming, pixels, rest: rest.write(encoding) })
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

fn native() -> dicom_store::Result<TransferSyntaxUid> {
    TransferSyntaxUid::parse(EXPLICIT_LITTLE)
}

fn named(object: &Object) -> Named {
    Named {
        sop_class: read::text(object, tags::SOP_CLASS_UID).and_then(|uid| SopClassUid::parse(uid).ok()),
        sop_instance: read::text(object, tags::SOP_INSTANCE_UID)
            .and_then(|uid| SopInstanceUid::parse(uid).ok()),
    }
}
