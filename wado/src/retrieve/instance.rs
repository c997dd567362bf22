//! Instances of a study, of a series, or one (PS3.18 §10.4.1.1.1), as Part 10 files sent as they are read.
//!
//! Declared:
//! - Without a transfer syntax Explicit VR Little Endian is given: what is stored otherwise is rewritten, frames of lossless
//!   transfer syntaxes are decoded. Those of a transfer syntax that may be lossy come as they are stored, which PS3.18
//!   §8.7.3.4 allows; so does an instance whose first frame turns out not to be decodable, and one that would be too
//!   large. The part says its transfer syntax.
//! - `transfer-syntax=*` gives the stored file byte for byte, a UID gives that transfer syntax or nothing: those that are
//!   encoded here are made on the way, without loss.
//! - `application/octet-stream` gives the bulk data of the same resource ([`bulk_data`]).
//! - `application/zip` gives a File-set with its DICOMDIR ([`archive`]), in the transfer syntaxes of the rules above.
//! - Of several instances those that cannot be given are left out under status 206; 406 when none can.

use std::sync::Arc;

use axum::response::Response;
use dicom_store::model::{Instance, TransferSyntaxUid, transfer_syntax};
use dicom_store::{ReadAhead, Session};
use futures_util::stream::{self, StreamExt};
use http::StatusCode;
use worker::pool::CpuPool;

use super::archive;
use super::bulk_data::{self, Which};
use super::convert;
use super::parts::{Part, multipart, multipart_of};
use super::{Retrieval, Validator, identity, not_convertible};
use crate::accept::{Category, DICOM, OCTET_STREAM, Offer, Refusal, Syntax, Wrap, ZIP};
use crate::base_url::BaseUrl;
use crate::error::Problem;

/// `/studies/{study}`, `…/series/{series}`, `…/instances/{instance}`
pub(crate) async fn instances(request: Retrieval) -> Result<Response, Problem> {
    let instances = request.instances().await?;
    let mut offers = vec![Offer::multipart(DICOM)];
    if request.target.instance.is_some() {
        offers.push(Offer::single(DICOM));
    }
    offers.extend([Offer::multipart(OCTET_STREAM), Offer::single(ZIP)]);
    let total = instances.len();
    for choice in request.accepts.choices(Category::Dicom, &offers)? {
        if choice.offer.media == OCTET_STREAM {
            return bulk_data::answer(request, instances, Which::All).await;
        }
        let deliveries: Vec<_> = instances
            .iter()
            .filter_map(|instance| delivery(instance, &choice.syntax).map(|how| (instance.clone(), how)))
            .collect();
        if deliveries.is_empty() {
            continue;
        }
        let is_partial = deliveries.len() < total;
        let identities: Vec<_> =
            deliveries.iter().map(|(instance, how)| (identity(instance), *how)).collect();
        let cause = (identities, request.base.as_str());
        let validator = match choice.offer.media {
            ZIP => Validator::weak(&(choice.offer, cause)),
            _ => Validator::of(choice.offer, &cause),
        };
        if let Some(response) = validator.not_modified(&request.headers) {
            return Ok(response);
        }
        let ahead = request.session.read_ahead(deliveries.iter().map(|(instance, _)| instance));
        let ahead = Arc::new(ahead);
        let source = Source { session: request.session, pool: request.pool, base: request.base, ahead };
        let mut response = match (choice.offer.wrap, deliveries.as_slice()) {
            (Wrap::Single, _) if choice.offer.media == ZIP => {
                archive::answer(source, deliveries, &request.target.last_uid()).await?
            }
            (Wrap::Single, [(instance, how)]) => {
                let (part, _) = source.part(0, instance, *how).await?;
                part.into_single(&request.headers, &validator).await?
            }
            _ => source.answer(deliveries).await?,
        };
        if is_partial {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        return Ok(validator.mark(response));
    }
    match instances.as_slice() {
        [instance] => Err(not_convertible(&offers, &instance.transfer_syntax)),
        _ => Err(Refusal::NotAcceptable(offers).into()),
    }
}

/// How an instance is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Delivery {
    AsStored,
    /// In another transfer syntax.
    In(&'static str),
    /// In Explicit VR Little Endian, or as it is stored where it cannot be made into that.
    Uncompressed,
}

fn delivery(instance: &Instance, asked: &Syntax) -> Option<Delivery> {
    let stored = instance.transfer_syntax.as_str();
    let is_explicit = stored == transfer_syntax::EXPLICIT_LITTLE;
    let made = |uid: &str| {
        convert::made(uid).filter(|wanted| convert::is_possible(instance, wanted)).map(Delivery::In)
    };
    match asked {
        Syntax::Any => Some(Delivery::AsStored),
        Syntax::Default if is_explicit || instance.transfer_syntax.facts().lossy => Some(Delivery::AsStored),
        Syntax::Default => made(transfer_syntax::EXPLICIT_LITTLE).map(|_| Delivery::Uncompressed),
        Syntax::Uid(uid) if uid == stored => {
            // Never offered by name (PS3.18 §8.7.3).
            let is_retired =
                stored == transfer_syntax::IMPLICIT_LITTLE || stored == transfer_syntax::EXPLICIT_BIG;
            (!is_retired).then_some(Delivery::AsStored)
        }
        Syntax::Uid(uid) => made(uid),
    }
}

pub(super) struct Source {
    pub(super) session: Session,
    pool: CpuPool,
    base: BaseUrl,
    /// The instances of the answer, in its order.
    ahead: Arc<ReadAhead>,
}

impl Source {
    async fn answer(self, deliveries: Vec<(Instance, Delivery)>) -> Result<Response, Problem> {
        let is_as_stored = deliveries.iter().all(|(_, how)| *how == Delivery::AsStored);
        match deliveries.as_slice() {
            [(instance, how)] => {
                let (part, _) = self.part(0, instance, *how).await?;
                Ok(multipart_of(DICOM, vec![part.begun().await?]))
            }
            _ if is_as_stored => {
                let mut parts = Vec::with_capacity(deliveries.len());
                for (n, (instance, _)) in deliveries.iter().enumerate() {
                    // How long a corrected one is shows when its turn comes.
                    let length = instance.correction.is_none().then_some(instance.location.length);
                    let part = self.stored(n, instance, length);
                    parts.push(if n == 0 { part.begun().await? } else { part });
                }
                Ok(multipart_of(DICOM, parts))
            }
            [] => Ok(multipart_of(DICOM, Vec::new())),
            [(instance, how), others @ ..] => {
                let first = self.part(0, instance, *how).await?.0.begun().await?;
                let (source, others) = (Arc::new(self), others.to_vec());
                let others = stream::iter(others).zip(stream::iter(1..)).then(move |((instance, how), n)| {
                    let source = source.clone();
                    async move { source.part(n, &instance, how).await.map(|(part, _)| part) }
                });
                Ok(multipart(DICOM, stream::iter([Ok(first)]).chain(others)))
            }
        }
    }

    /// The instance that is number `n` of the answer, from 0, and the transfer syntax that it is given in.
    pub(super) async fn part(
        &self,
        n: usize,
        instance: &Instance,
        how: Delivery,
    ) -> Result<(Part, TransferSyntaxUid), Problem> {
        let wanted = match how {
            Delivery::AsStored => None,
            Delivery::In(wanted) => Some(wanted),
            Delivery::Uncompressed => Some(transfer_syntax::EXPLICIT_LITTLE),
        };
        if let Some(wanted) = wanted {
            self.ahead.reached(n);
            match convert::file(&self.session, &self.pool, instance, wanted).await {
                Ok((length, chunks)) => {
                    let content_type = format!("{DICOM}; transfer-syntax={wanted}");
                    let part = Part::new(content_type, self.base.instance(instance), length, chunks);
                    return Ok((part, TransferSyntaxUid::parse(wanted)?));
                }
                Err(error) if how == Delivery::Uncompressed && convert::is_about_the_object(&error) => {
                    let uid = &instance.sop_instance;
                    tracing::debug!(instance = %uid, %error, "not decoded, given as it is stored");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let length = self.session.length(instance).await?;
        Ok((self.stored(n, instance, length), instance.transfer_syntax.clone()))
    }

    fn stored(&self, n: usize, instance: &Instance, length: Option<u64>) -> Part {
        let (session, owned, ahead) = (self.session.clone(), instance.clone(), self.ahead.clone());
        // The object is opened when its turn comes.
        let open = move |()| {
            ahead.reached(n);
            session.open(&owned)
        };
        let chunks = stream::iter([()]).flat_map(open).map(|chunk| Ok(chunk?));
        let content_type = format!("{DICOM}; transfer-syntax={}", instance.transfer_syntax);
        let part = Part::new(content_type, self.base.instance(instance), length, chunks.boxed());
        if instance.correction.is_some() {
            return part;
        }
        let (session, owned) = (self.session.clone(), instance.clone());
        part.seekable(move |range| session.open_part(&owned, range).map(|chunk| Ok(chunk?)).boxed())
    }
}
