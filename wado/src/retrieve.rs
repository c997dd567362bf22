//! WADO-RS: retrieve (PS3.18 §10.4).
//!
//! | resource | module | reads |
//! |---|---|---|
//! | study, series, instance | [`instance`], [`convert`], [`archive`] | the object, streamed |
//! | metadata | [`metadata`] | the index only |
//! | frames | [`frames`] | the bytes of these frames |
//! | bulk data | [`bulk`], [`bulk_data`] | the range of the value |
//! | rendered, thumbnail | [`rendered`], [`cine`], [`video`], [`document`], [`presentation_state`], [`thumbnail`] | the bytes of the frames shown |
//!
//! Every answer has a validator; one of a single item can be asked for by ranges ([`range`]).

mod archive;
pub(crate) mod bulk;
pub(crate) mod bulk_data;
mod cine;
mod convert;
mod document;
pub(crate) mod frames;
mod image;
pub(crate) mod instance;
pub(crate) mod metadata;
mod parts;
mod presentation;
pub(crate) mod presentation_state;
mod range;
pub(crate) mod rendered;
pub(crate) mod thumbnail;
mod validator;
mod video;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use dicom_store::model::{
    FrameNumber, Instance, Location, Resource, SeriesInstanceUid, SopInstanceUid, TransferSyntaxUid,
};
use dicom_store::{Described, Session};
use http::HeaderMap;
use http::request::Parts;
use worker::pool::CpuPool;

use crate::accept::{Accepts, Offer, Refusal};
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::parameters::Parameters;
use crate::renditions::Renditions;
use crate::resource::Target;
use crate::state::Web;

pub(crate) use validator::Validator;

/// All that a retrieve needs of its request.
#[derive(Clone)]
pub(crate) struct Retrieval {
    pub(crate) session: Session,
    pub(crate) pool: CpuPool,
    pub(crate) renditions: Arc<Renditions>,
    pub(crate) accepts: Accepts,
    pub(crate) base: BaseUrl,
    pub(crate) target: Target,
    pub(crate) parameters: Parameters,
    pub(crate) headers: HeaderMap,
}

impl FromRequestParts<Web> for Retrieval {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let accepts = Accepts::from_request_parts(parts, web).await?;
        let target = Target::from_request_parts(parts, web).await?;
        let parameters = Parameters::of(&parts.uri);
        Ok(Self::of(parts, web, target, accepts, parameters))
    }
}

impl Retrieval {
    /// What a request asks for in other words than those of WADO-RS.
    pub(crate) fn of(
        parts: &mut Parts,
        web: &Web,
        target: Target,
        accepts: Accepts,
        parameters: Parameters,
    ) -> Self {
        Self {
            session: web.session(parts),
            pool: web.pool.clone(),
            renditions: web.renditions.clone(),
            accepts,
            base: BaseUrl::of(parts, &web.config),
            target,
            parameters,
            headers: std::mem::take(&mut parts.headers),
        }
    }

    /// The same of one frame.
    pub(crate) fn of_frame(mut self, number: FrameNumber) -> Self {
        self.target.frames = Some(number.get().to_string());
        self
    }

    /// The instances of the resource, at least one.
    ///
    /// # Errors
    /// 404 when there is no such resource, 401 or 403 when the caller may not see it.
    pub(crate) async fn instances(&self) -> Result<Vec<Instance>, Problem> {
        let resource = self.target.resource()?;
        let instances = self.session.instances(&resource).await?;
        if instances.is_empty() {
            return Err(Problem::not_found(format!("there is no {resource}")));
        }
        Ok(instances)
    }

    /// Another instance of the same study.
    ///
    /// # Errors
    /// As [`Retrieval::instances`].
    pub(crate) async fn instance_of(
        &self,
        (series, instance): (SeriesInstanceUid, SopInstanceUid),
    ) -> Result<Instance, Problem> {
        let study = self.target.study.clone().ok_or_else(|| Problem::not_found("the path names no study"))?;
        let mut found = self.session.instances(&Resource::Instance(study, series, instance)).await?;
        found.pop().ok_or_else(|| Problem::not_found("there is no such instance"))
    }

    /// The one instance that the path names, with its header and where its frames lie.
    ///
    /// # Errors
    /// As [`Retrieval::instances`].
    pub(crate) async fn described(&self) -> Result<Described, Problem> {
        Ok(self.session.described(&self.target.resource()?).await?)
    }
}

/// 406 for what is stored in a transfer syntax that cannot be made into the one asked for.
fn not_convertible(offers: &[Offer], stored: &TransferSyntaxUid) -> Problem {
    let mut problem = Problem::from(Refusal::NotAcceptable(offers.to_vec()));
    problem.what.push_str(&format!("; stored in transfer syntax {stored}, which transfer-syntax=* asks for"));
    problem
}

/// What tells an instance from all others: where its bytes lie, and what was corrected of it.
pub(crate) fn identity(instance: &Instance) -> (&str, u64, u64, u64, Vec<u64>) {
    let Location { pack, offset, length } = instance.location;
    let acts = instance.correction.iter().flat_map(|correction| correction.acts()).collect();
    (instance.sop_instance.as_str(), pack.0, offset, length, acts)
}
