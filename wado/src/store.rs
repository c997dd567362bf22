//! STOW-RS: store (PS3.18 §10.5).
//!
//! Parts go to the archive as they arrive, chunk by chunk; each is committed, which makes it durable, while the next
//! is received. The answer accounts for every part once. A part that fails harms no other.
//!
//! Whether the caller may store is asked before anything of the body is read. A refused part is logged.
//!
//! Declared: taken are `multipart/related` of `application/dicom`, or of `application/dicom+json` or
//! `application/dicom+xml` with bulk data in parts of their own ([`metadata`]), and bare bodies of these. A body that breaks off is answered 400; what came
//! whole before the break is stored. So is what came before a part too many (413).

mod boxes;
mod coding;
mod document;
pub(crate) mod holding;
mod metadata;
mod outcome;
mod pixels;
mod response;
mod source;
mod stream;
mod syntax;
mod text;
mod video;
mod waiting;

use std::num::NonZeroUsize;

use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::access::Action;
use dicom_store::model::{Attributes, StudyInstanceUid};
use dicom_store::{Arrival, Caller, Declared, Error, ErrorKind, Incoming, Origin, Session, Stored};
use futures_util::Stream;
use http::header::CONTENT_ENCODING;
use tokio::task::JoinSet;
use worker::CpuPool;

use crate::accept::{Category, DICOM, DICOM_JSON, DICOM_XML, JSON, OCTET_STREAM, Offer, media_type};
use crate::base_url::BaseUrl;
use crate::error::Problem;
use crate::multipart::{Fields, Malformed, Reader, boundary};
use crate::negotiation;
use crate::parameters::Parameters;
use crate::resource::Target;
use crate::state::Web;

use holding::Holding;
use metadata::Described;
use outcome::{Named, Outcome};
use source::{Bare, Source};

/// Instances of one request that are being committed while the next arrives. Commits that wait together cost one
/// write to stable storage.
const COMMITTING: NonZeroUsize = NonZeroUsize::new(16).expect("sixteen is not zero");
/// Parts of one request. Each is accounted for in memory and in the answer; no study comes near it.
const MAX_PARTS: usize = 100_000;
/// Refused parts of one request that the log names one by one; of further ones it tells the number.
const LOGGED: usize = 100;
/// Bytes of a part that are looked at for its File Meta Information.
const HEAD: usize = 4096;

const OFFERS: &[Offer] =
    &[Offer::single(DICOM_JSON), Offer::single(JSON), Offer::single(DICOM_XML), Offer::multipart(DICOM_XML)];

/// `/studies`, `/studies/{study}`
pub(crate) async fn store(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let base = BaseUrl::of(&parts, &web.config);
    let checked = async {
        let session = web.session(&parts);
        if !session.caller().may(Action::Store) {
            return Err(Problem::forbidden("the caller may not store"));
        }
        let target = Target::from_request_parts(&mut parts, &web).await?;
        if parts.headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return Err(Problem::encoded());
        }
        let parameters = Parameters::of(&parts.uri);
        let accepts = negotiation::accepts(&parts.headers, &parameters, web.config.negotiation)?;
        let offer = accepts.best(Category::Any, OFFERS)?;
        let form = Form::read(negotiation::content_type(&parts.headers))?;
        Ok((Storing::new(session, target.study, &web), offer, form))
    };
    let (mut storing, offer, form) = checked.await?;
    let received = match form {
        Form::Multipart(boundary) => storing.multipart(&mut body, &boundary).await,
        Form::Single => storing.single(&mut body).await,
        Form::Described(boundary) => storing.described(&mut body, &boundary).await,
        Form::Metadata(content_type) => storing.described_alone(&mut body, &content_type).await,
    };
    let session = storing.session.clone();
    let outcomes = storing.finish().await;
    match received {
        Ok(()) if outcomes.is_empty() => Err(Problem::invalid("the body holds no instance")),
        Ok(()) => {
            let stored: Vec<_> = outcomes.iter().filter_map(Outcome::stored).collect();
            // An index that does not answer has taken them before all the same.
            let hidden = session.hidden_among(&stored).await.unwrap_or_default();
            Ok(response::answer(&outcomes, &hidden, &base, offer))
        }
        Err(stop) => {
            let stored = outcomes.iter().filter(|outcome| outcome.is_stored()).count();
            Err(stop.told(stored))
        }
    }
}

/// What the body is.
enum Form {
    Multipart(String),
    Single,
    /// Metadata, and bulk data behind them.
    Described(String),
    /// Metadata that tell everything themselves, with their media type.
    Metadata(String),
}

impl Form {
    fn read(content_type: &str) -> Result<Self, Problem> {
        let (media, parameters) = media_type(content_type);
        let root =
            parameters.iter().find(|(name, _)| name == "type").map(|(_, value)| value.to_ascii_lowercase());
        let boundary =
            || boundary(content_type).ok_or_else(|| Problem::invalid("Content-Type names no boundary"));
        match (media.as_str(), root.as_deref()) {
            ("multipart/related", None | Some(DICOM)) => boundary().map(Self::Multipart),
            ("multipart/related", Some(DICOM_JSON | DICOM_XML | JSON)) => boundary().map(Self::Described),
            (DICOM, _) => Ok(Self::Single),
            (DICOM_JSON | DICOM_XML, _) => Ok(Self::Metadata(content_type.to_owned())),
            _ => Err(Problem::unsupported(
                "stored are application/dicom, application/dicom+json and application/dicom+xml, by themselves or as the \
                 type of multipart/related",
            )),
        }
    }
}

/// Why receiving ended early.
enum Stop {
    Malformed(Malformed),
    /// The caller may not store at all.
    Refused(Problem),
    TooManyParts,
}

impl Stop {
    /// The answer, when so many parts are stored before.
    fn told(self, stored: usize) -> Problem {
        let before = format!("{stored} instances that came before are stored");
        match self {
            Self::Refused(problem) => problem,
            Self::Malformed(Malformed(what)) => Problem::invalid(format!("{what}; {before}")),
            Self::TooManyParts => {
                Problem::too_large(format!("the body has more parts than the limit of {MAX_PARTS}; {before}"))
            }
        }
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// A request under way: what has come, what is being committed.
struct Storing {
    session: Session,
    pool: CpuPool,
    study: Option<StudyInstanceUid>,
    /// One for each part, in their order; `None` while it is being committed.
    outcomes: Vec<Option<Outcome>>,
    committing: JoinSet<Committed>,
    /// Parts that were refused, so far.
    refused: usize,
    holding: Holding,
}

/// What the archive says of a part.
struct Committed {
    /// Among the outcomes.
    place: usize,
    named: Named,
    result: dicom_store::Result<Stored>,
}

impl Storing {
    fn new(session: Session, study: Option<StudyInstanceUid>, web: &Web) -> Self {
        let (pool, holding) = (web.pool.clone(), web.holding.clone());
        Self { session, pool, study, outcomes: Vec::new(), committing: JoinSet::new(), refused: 0, holding }
    }

    /// A place among the outcomes, for one that is still to come.
    fn place(&mut self) -> Result<usize, Stop> {
        if self.outcomes.len() >= MAX_PARTS {
            return Err(Stop::TooManyParts);
        }
        self.outcomes.push(None);
        Ok(self.outcomes.len() - 1)
    }

    async fn multipart<S, E>(&mut self, body: S, boundary: &str) -> Result<(), Stop>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let mut reader = Reader::new(body, boundary)?;
        while let Some(fields) = reader.next_part().await? {
            if is_dicom(&fields) {
                self.part(&mut reader).await?;
            } else {
                let place = self.place()?;
                let error = Error::invalid("part is not of the media type application/dicom");
                self.fail(place, Named::default(), &error);
            }
        }
        Ok(())
    }

    /// Metadata come first, then what they tell of.
    async fn described<S, E>(&mut self, body: S, boundary: &str) -> Result<(), Stop>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let (mut reader, mut described) = (Reader::new(body, boundary)?, Described::default());
        while let Some(fields) = reader.next_part().await? {
            let content_type = fields.get("content-type").unwrap_or_default();
            if matches!(media_type(content_type).0.as_str(), DICOM_JSON | DICOM_XML | JSON) {
                described.metadata(self, &mut reader, content_type).await?;
            } else {
                described.bulk(self, &mut reader, &fields).await?;
            }
        }
        described.finish(self);
        Ok(())
    }

    async fn described_alone<S, E>(&mut self, body: S, content_type: &str) -> Result<(), Stop>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let mut described = Described::default();
        described.metadata(self, &mut Bare(body), content_type).await?;
        described.finish(self);
        Ok(())
    }

    async fn single<S, E>(&mut self, body: S) -> Result<(), Stop>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        // The one part of a multipart body that is nothing else.
        self.part(&mut Bare(body)).await
    }

    async fn part(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        let (place, mut named) = (self.place()?, Named::default());
        match self.receive(source, &mut named).await {
            Ok(Some(incoming)) => self.commit(place, incoming, named).await,
            Ok(None) => self.fail(place, named, &Error::invalid("part is empty")),
            Err(Failure::Store(error)) if error.kind == ErrorKind::Forbidden => {
                return Err(Stop::Refused(error.into()));
            }
            Err(Failure::Store(error) | Failure::Syntax(error)) => self.fail(place, named, &error),
            Err(Failure::Body(malformed)) => return Err(malformed.into()),
        }
        Ok(())
    }

    /// Gives a part to the archive as it comes; `None` when it is empty.
    async fn receive(
        &self,
        source: &mut impl Source,
        named: &mut Named,
    ) -> Result<Option<Incoming>, Failure> {
        let mut incoming: Option<Incoming> = None;
        let mut head = Vec::new();
        while let Some(chunk) = source.chunk().await? {
            if head.len() < HEAD {
                head.extend_from_slice(chunk.get(..HEAD.min(chunk.len())).unwrap_or_default());
                named.read(&head);
            }
            let open = match &mut incoming {
                Some(open) => open,
                None => {
                    let arrival = self.arrival(Declared::File { study: self.study.clone() });
                    incoming.insert(self.session.receive(arrival).await.map_err(Failure::Store)?)
                }
            };
            open.write(chunk).await.map_err(Failure::Store)?;
        }
        Ok(incoming)
    }

    fn arrival(&self, declared: Declared) -> Arrival {
        let address = match self.session.caller() {
            Caller::Web { address, .. } => *address,
            Caller::Peer { address, .. } => Some(*address),
            Caller::System(_) => None,
        };
        Arrival { origin: Origin::Web { address }, declared }
    }

    /// The study of the request is the only one that it stores into.
    fn check_study(&self, data_set: &Attributes) -> dicom_store::Result<()> {
        match (&self.study, data_set.uid(tags::STUDY_INSTANCE_UID)) {
            (Some(study), Some(uid)) if study.as_str() != uid => {
                Err(Error::conflict(format!("instance belongs to study {uid}, the request is for {study}")))
            }
            _ => Ok(()),
        }
    }

    async fn commit(&mut self, place: usize, incoming: Incoming, named: Named) {
        while self.committing.len() >= COMMITTING.get() {
            self.settle_one().await;
        }
        self.committing.spawn(async move { Committed { place, named, result: incoming.commit().await } });
    }

    /// Accounts for one that is not given to the archive, or not taken by it.
    fn fail(&mut self, place: usize, named: Named, error: &Error) {
        self.refuse(&named, error);
        self.settle(place, Outcome::failed(named, error));
    }

    /// The same with a reason that the error does not tell.
    fn fail_for(&mut self, place: usize, named: Named, reason: u16, error: &Error) {
        self.refuse(&named, error);
        self.settle(place, Outcome::failed_for(named, reason, error));
    }

    fn refuse(&mut self, named: &Named, error: &Error) {
        self.refused += 1;
        if self.refused <= LOGGED {
            outcome::log(named, error);
        }
    }

    fn settle(&mut self, place: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(place) {
            *slot = Some(outcome);
        }
    }

    async fn settle_one(&mut self) {
        let Some(Ok(Committed { place, named, result })) = self.committing.join_next().await else { return };
        match result {
            Ok(stored) => self.settle(place, Outcome::Stored(stored)),
            Err(error) => self.fail(place, named, &error),
        }
    }

    async fn finish(mut self) -> Vec<Outcome> {
        while !self.committing.is_empty() {
            self.settle_one().await;
        }
        if self.refused > LOGGED {
            tracing::warn!(parts = self.refused, named = LOGGED, "more parts not stored than the log names");
        }
        let lost = || Outcome::failed(Named::default(), &Error::internal("commit ended without an answer"));
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect()
    }
}

/// Why a part was not received.
enum Failure {
    Store(Error),
    /// It is of no transfer syntax that there is.
    Syntax(Error),
    Body(Malformed),
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Body(malformed)
    }
}

/// Whether a part holds an instance; one that does not say is taken at the word of the body.
fn is_dicom(fields: &Fields) -> bool {
    let media = fields.get("content-type").map(|text| media_type(text).0);
    media.is_none_or(|media| media == DICOM || media == OCTET_STREAM)
}
