//! An instance whose values come in parts of their own.
//!
//! Values are held, within bounds, until all others are there; the pixel data, which come last as a rule, then go to the
//! archive as they come ([`super::pixels`]). What the metadata do not say of the image is read out of its stream
//! ([`super::stream`]); pictures that no transfer syntax has are decoded whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::transfer_syntax::EXPLICIT_LITTLE;
use dicom_store::model::{Attributes, SopClassUid, SopInstanceUid, Tag, TransferSyntaxUid};
use dicom_store::{Declared, Error, ErrorKind, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::boxes::Unboxed;
use super::document;
use super::holding::Holding;
use super::metadata::MAX_OPEN;
use super::outcome::Named;
use super::pixels::{self, Pixels};
use super::source::{Begun, Nothing, Source};
use super::stream::{self, StreamHeader};
use super::syntax::{may_have_boxes, transfer_syntax};
use super::text::{Text, Told};
use super::{Failure, Storing, video};
use crate::accept::OCTET_STREAM;
use crate::multipart::Fields;

/// Bytes of one value that is held.
const MAX_HELD: usize = 32 << 20;
/// Bytes of a stream that are looked at for what it is. Of an MP4 file as many as are held: what tells of its pictures
/// stands behind them where the program that wrote it did not know better.
const MAX_HEAD: usize = 1 << 20;

pub(super) struct Waiting {
    text: Text,
    pub(super) named: Named,
    /// As the metadata part has it.
    syntax: Option<TransferSyntaxUid>,
    /// URLs of the values that have not come.
    missing: HashSet<String>,
    held: HashMap<String, Bytes>,
    document: Option<DocumentPart>,
    pixels: Option<PixelParts>,
    /// Parts of them that came before other values.
    parts: Vec<Bytes>,
    open: Option<Open>,
    opening: Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
}

/// Where the encapsulated document of an instance comes from.
struct DocumentPart {
    url: String,
    /// As its part says it.
    content_type: Option<String>,
}

impl DocumentPart {
    fn of(told: &[Told]) -> Option<Self> {
        let told = told.iter().find(|told| told.is_outermost && told.tag == tags::ENCAPSULATED_DOCUMENT)?;
        Some(Self { url: told.url.clone(), content_type: None })
    }
}

/// Where the pixel data of an instance come from.
struct PixelParts {
    tag: Tag,
    url: String,
    /// Of the first part.
    content_type: Option<String>,
}

impl PixelParts {
    /// Those that metadata tell by URL.
    fn of(told: &[Told]) -> Option<Self> {
        let told = told.iter().find(|told| told.is_outermost && is_pixel_data(told.tag))?;
        Some(Self { tag: told.tag, url: told.url.clone(), content_type: None })
    }

    fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(OCTET_STREAM)
    }
}

fn is_pixel_data(tag: Tag) -> bool {
    pixels::TAGS.contains(&tag)
}

/// An instance that the archive has up to its pixel data.
struct Open {
    incoming: Incoming,
    pixels: Pixels,
    /// What stands behind them.
    rest: Vec<u8>,
    _turn: OwnedSemaphorePermit,
}

/// What the beginning of pixel data tells.
struct Beginning {
    syntax: TransferSyntaxUid,
    header: Option<StreamHeader>,
    /// The bytes that were looked at, and the room that they take where they are many.
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Waiting {
    /// `told`: what the metadata tell by URL.
    pub(super) fn new(
        text: Text,
        named: Named,
        syntax: Option<TransferSyntaxUid>,
        told: &[Told],
        opening: Arc<Semaphore>,
    ) -> Self {
        Self {
            text,
            named,
            syntax,
            missing: told.iter().map(|told| told.url.clone()).collect(),
            held: HashMap::new(),
            document: DocumentPart::of(told),
            pixels: PixelParts::of(told),
            parts: Vec::new(),
            open: None,
            opening,
            permits: Vec::new(),
        }
    }

    pub(super) fn what_is_missing(&self) -> String {
        match &self.open {
            Some(open) => open.pixels.missing(),
            None => format!("{} of its bulk data did not come", self.missing.len()),
        }
    }

    /// Whether a part that this URL tells of is still to come: a value that has not, and any frame.
    pub(super) fn wants(&self, url: &str) -> bool {
        self.missing.contains(url) || self.pixels.as_ref().is_some_and(|pixels| pixels.url == url)
    }

    /// Takes a part that one of its URLs tells of: pixel data that nothing else is missing for flow, the rest is held.
    pub(super) async fn take(
        &mut self,
        storing: &Storing,
        source: &mut impl Source,
        fields: &Fields,
        url: &str,
    ) -> Result<(), Failure> {
        let is_last = self.missing.len() == 1 && self.missing.contains(url);
        let Some(pixels) = self.pixels.as_mut().filter(|pixels| pixels.url == url) else {
            let bytes = self.hold(source, &storing.holding).await?;
            if let Some(document) = self.document.as_mut().filter(|document| document.url == url) {
                document.content_type = fields.get("content-type").map(str::to_owned);
            }
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
        self.pixel_part(storing, source).await
    }

    /// Gives a part of the pixel data to the archive, after everything before it.
    async fn pixel_part(&mut self, storing: &Storing, source: &mut impl Source) -> Result<(), Failure> {
        let content_type = self.pixels.as_ref().map_or(OCTET_STREAM, PixelParts::content_type).to_owned();
        if let Some(kind) = stream::picture(&content_type) {
            let (bytes, _room) = storing.holding.hold(source, MAX_HELD, "a picture").await?;
            let (picture, _room) =
                stream::decode(storing, bytes.freeze(), kind).await.map_err(Failure::Store)?;
            if self.open.is_none() {
                let syntax = TransferSyntaxUid::parse(EXPLICIT_LITTLE).map_err(Failure::Store)?;
                let header = StreamHeader::of_picture(&picture);
                self.open = Some(self.begin(storing, syntax, Some(header)).await.map_err(Failure::Store)?);
            }
            let mut native = Begun { first: Some(picture.bytes.into()), rest: &mut Nothing };
            return self.flow(&mut native, &storing.holding).await;
        }
        let source = &mut Unboxed::new(source, may_have_boxes(&content_type));
        if self.open.is_some() {
            return self.flow(source, &storing.holding).await;
        }
        let Beginning { syntax, header, bytes, _room } =
            beginning(&content_type, source, &storing.holding).await?;
        self.open = Some(self.begin(storing, syntax, header).await.map_err(Failure::Store)?);
        self.flow(&mut Begun { first: Some(bytes), rest: source }, &storing.holding).await
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
    pub(super) async fn advance(&mut self, storing: &Storing) -> Result<Option<Incoming>, Failure> {
        if !self.missing.is_empty() {
            return Ok(None);
        }
        if self.open.is_none() {
            for part in std::mem::take(&mut self.parts) {
                let mut part = Begun { first: Some(part), rest: &mut Nothing };
                self.pixel_part(storing, &mut part).await?;
            }
        }
        if self.open.is_none() {
            let syntax = match &self.syntax {
                Some(syntax) if !syntax.facts().encapsulated => syntax.clone(),
                _ => TransferSyntaxUid::parse(EXPLICIT_LITTLE).map_err(Failure::Store)?,
            };
            self.open = Some(self.begin(storing, syntax, None).await.map_err(Failure::Store)?);
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
    async fn begin(
        &self,
        storing: &Storing,
        syntax: TransferSyntaxUid,
        header: Option<StreamHeader>,
    ) -> dicom_store::Result<Open> {
        let turn = self.opening.clone().try_acquire_owned().map_err(|_| {
            Error::invalid(format!(
                "parts of more than {MAX_OPEN} instances come in turns; send one after the other"
            ))
        })?;
        let (_, read) = self.text.read(&storing.holding, self.held.clone()).await;
        let mut all = read?.attributes;
        storing.check_study(&all)?;
        let document = self.document.as_ref().and_then(|document| document.content_type.as_deref());
        document::complete(&mut all, document);
        if let Some(header) = header {
            header.check_loss(&syntax)?;
            header.complete(&mut all)?;
        }
        match &self.pixels {
            Some(_) if syntax.facts().encapsulated => stream::check_described(&all, &syntax)?,
            Some(_) => {}
            None => pixels::check_native(&all)?,
        }
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

/// As much of the pixel data as tells their transfer syntax and, of a code stream, the image.
async fn beginning(
    content_type: &str,
    source: &mut impl Source,
    holding: &Holding,
) -> Result<Beginning, Failure> {
    let (mut bytes, mut room) = (BytesMut::new(), None);
    let mut is_over = false;
    loop {
        if bytes.len() > MAX_HEAD && room.is_none() && video::is_mp4(&bytes) {
            // Without room it goes by what the metadata say.
            room = holding.take(MAX_HELD).ok();
        }
        let most = if room.is_some() { MAX_HELD } else { MAX_HEAD };
        let is_all = is_over || bytes.len() > most;
        if let Some(syntax) = transfer_syntax(content_type, &bytes, is_all).map_err(of_no_syntax)? {
            if is_over && bytes.is_empty() && syntax.facts().encapsulated {
                return Err(Failure::Store(Error::invalid("the pixel data hold no code stream")));
            }
            let header = StreamHeader::read(&syntax, &bytes);
            if let Some(header) = &header {
                header.check_components().map_err(Failure::Syntax)?;
            }
            if header.is_some() || is_all || !stream::has_header(&syntax) {
                return Ok(Beginning { syntax, header, bytes: bytes.freeze(), _room: room });
            }
        } else if is_all {
            let what = "pixel data do not say of which kind they are";
            return Err(Failure::Store(Error::invalid(what)));
        }
        match source.chunk().await? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => is_over = true,
        }
    }
}

/// Of another transfer syntax than the one that is named, or of none.
fn of_no_syntax(error: Error) -> Failure {
    if error.kind == ErrorKind::Conflict { Failure::Store(error) } else { Failure::Syntax(error) }
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
