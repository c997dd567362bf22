//! Metadata and bulk data that come in parts of their own (PS3.18 §10.5.1.4): which part belongs to which instance.
//!
//! A data set waits for the values that it tells by URL ([`super::waiting`]). Whatever is wrong with one instance harms
//! no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dicom_store::model::TransferSyntaxUid;
use dicom_store::{Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outcome::{Named, reason};
use super::source::Source;
use super::syntax::named_syntax;
use super::text::Text;
use super::waiting::Waiting;
use super::{Failure, Stop, Storing};
use crate::accept::{DICOM_XML, media_type};
use crate::dicom_json::read;
use crate::multipart::Fields;

/// Metadata of one request, in bytes; a study of thousands of instances stays far below.
const MAX_METADATA: usize = 16 << 20;
/// Instances of one request whose pixel data are under way.
pub(super) const MAX_OPEN: usize = 4;

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
    /// `None` once it is settled.
    waiting: Option<Waiting>,
    /// More parts of it are passed over: its failure accounts for them.
    has_failed: bool,
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
            Err(Failure::Store(error) | Failure::Syntax(error)) => {
                return Err(Stop::Refused(error.into()));
            }
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
        let mut instance = Instance { place, urls: HashSet::new(), waiting: None, has_failed: false };
        match looked_at {
            Ok(read) => {
                let waiting = Waiting::new(text, named, syntax, &read.told, self.opening.clone());
                instance.urls = read.told.into_iter().map(|told| told.url).collect();
                instance.go_on(storing, waiting).await?;
            }
            Err(error) => {
                instance.has_failed = true;
                storing.fail(place, named, &error);
            }
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
        let wanting = instance.waiting.take_if(|waiting| waiting.wants(&url));
        let Some(mut waiting) = wanting else {
            if !instance.has_failed {
                let place = storing.place()?;
                let error = Error::invalid("the instance that tells of this part has that value already");
                storing.fail(place, Named::default(), &error);
            }
            return Ok(());
        };
        match waiting.take(storing, source, fields, &url).await {
            Ok(()) => instance.go_on(storing, waiting).await,
            Err(failure) => instance.failed(storing, waiting.named, failure),
        }
    }

    /// Accounts for those whose bulk data did not come.
    pub(super) fn finish(self, storing: &mut Storing) {
        for instance in self.instances {
            let Some(waiting) = instance.waiting else { continue };
            let what = waiting.what_is_missing();
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
        let waits = |instance: &Instance| {
            tells(instance) && instance.waiting.as_ref().is_some_and(|waiting| waiting.wants(location))
        };
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
        self.has_failed = true;
        match failure {
            Failure::Body(malformed) => Err(malformed.into()),
            Failure::Store(error) if error.kind == ErrorKind::Forbidden => Err(Stop::Refused(error.into())),
            Failure::Store(error) => {
                storing.fail(self.place, named, &error);
                Ok(())
            }
            Failure::Syntax(error) => {
                storing.fail_for(self.place, named, reason::TRANSFER_SYNTAX_NOT_SUPPORTED, &error);
                Ok(())
            }
        }
    }
}
