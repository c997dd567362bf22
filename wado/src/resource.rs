//! The path of a request → the resource it names, and back to URLs.

use std::collections::HashSet;

use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, Path, RawPathParams};
use dicom_store::model::{
    FrameNumber, Instance, Resource, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid,
};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::state::Web;

/// Parameters of the path. Segments that are no UIDs name nothing that could exist: they are refused as invalid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(crate) study: Option<StudyInstanceUid>,
    pub(crate) series: Option<SeriesInstanceUid>,
    pub(crate) instance: Option<SopInstanceUid>,
    /// `frames/{frames}`, as it stands.
    pub(crate) frames: Option<String>,
    /// `bulkdata/{path}`, as it stands.
    pub(crate) bulk: Option<String>,
}

impl Target {
    /// The study, series or instance.
    ///
    /// # Errors
    /// 404 when the path names none, which the routes prevent.
    pub(crate) fn resource(&self) -> Result<Resource, Problem> {
        match (self.study.clone(), self.series.clone(), self.instance.clone()) {
            (Some(study), None, None) => Ok(Resource::Study(study)),
            (Some(study), Some(series), None) => Ok(Resource::Series(study, series)),
            (Some(study), Some(series), Some(instance)) => Ok(Resource::Instance(study, series, instance)),
            _ => Err(Problem::not_found("the path names no study")),
        }
    }

    /// The UID of what the path names; empty when it names nothing.
    pub(crate) fn last_uid(&self) -> String {
        let study = self.study.as_ref().map(ToString::to_string);
        let series = self.series.as_ref().map(ToString::to_string);
        self.instance.as_ref().map(ToString::to_string).or(series).or(study).unwrap_or_default()
    }

    /// The frame list, in the order asked for, each number once; `None` when the path has none.
    ///
    /// # Errors
    /// 400 when it is empty, holds something else than numbers from 1, or a number twice: a short URL must not ask for
    /// one frame thousands of times.
    pub(crate) fn frames(&self) -> Result<Option<Vec<FrameNumber>>, Problem> {
        let Some(list) = &self.frames else { return Ok(None) };
        let number = |text: &str| text.trim().parse().ok().and_then(FrameNumber::new);
        let frames: Option<Vec<_>> = list.split(',').map(number).collect();
        let Some(frames) = frames else {
            return Err(Problem::invalid("a frame list holds numbers from 1, with commas between them"));
        };
        let mut listed = HashSet::with_capacity(frames.len());
        match frames.iter().find(|number| !listed.insert(**number)) {
            Some(number) => Err(Problem::invalid(format!("frame {} is listed twice", number.get()))),
            None => Ok(Some(frames)),
        }
    }
}

/// Names in the path that are no UIDs, decoded.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let names = Path::from_request_parts(parts, state).await;
        names.map(|Path(names)| Self(names)).map_err(|_| not_text())
    }
}

fn not_text() -> Problem {
    Problem::invalid("the path is not percent-encoded UTF-8")
}

impl FromRequestParts<Web> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Web) -> Result<Self, Problem> {
        let parameters: RawPathParams = parts.extract().await.map_err(|_| not_text())?;
        let mut target = Self::default();
        for (name, value) in &parameters {
            match name {
                "study" => target.study = Some(StudyInstanceUid::parse(value)?),
                "series" => target.series = Some(SeriesInstanceUid::parse(value)?),
                "instance" => target.instance = Some(SopInstanceUid::parse(value)?),
                "frames" => target.frames = Some(value.to_owned()),
                "bulk" => target.bulk = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(target)
    }
}

impl BaseUrl {
    pub(crate) fn study(&self, study: &StudyInstanceUid) -> String {
        format!("{self}/studies/{study}")
    }

    pub(crate) fn instance(&self, instance: &Instance) -> String {
        let Instance { study, series, sop_instance, .. } = instance;
        format!("{self}/studies/{study}/series/{series}/instances/{sop_instance}")
    }

    pub(crate) fn bulk(&self, instance: &Instance) -> String {
        format!("{}/bulkdata", self.instance(instance))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", Some(vec![1]))]
    #[case("1,3,5", Some(vec![1, 3, 5]))]
    #[case("5, 1", Some(vec![5, 1]))]
    #[case("1,2,1", None)]
    #[case("0", None)]
    #[case("", None)]
    #[case("1,", None)]
    #[case("-1", None)]
    #[case("abc", None)]
    #[case("99999999999", None)]
    fn reads_frame_lists(#[case] list: &str, #[case] expected: Option<Vec<u32>>) {
        let target = Target { frames: Some(list.into()), ..Target::default() };
        let found = target.frames().ok().flatten();
        assert_eq!(found.map(|frames| frames.into_iter().map(FrameNumber::get).collect()), expected);
    }
}
