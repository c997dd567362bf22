//! A STOW-RS service of others as a place where instances can be forwarded to (PS3.18 §10.5).
//!
//! Files go as they are stored, or in a transfer syntax that the service takes, some in a request; what became of each is read in the answer. A request that is not taken
//! as a whole is made again for each of its instances, so that one that nobody wants stops no other.

mod answer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dicom_store::Session;
use dicom_store::model::{
    AeTitle, DayTimes, Error as StoreError, Instance, Result as StoreResult, SopInstanceUid,
    TransferSyntaxUid,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use http::{StatusCode, header};
use reqwest::{Body, Client, RequestBuilder, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use worker::destination::{Rate, Sent};
use worker::{CpuPool, Destination, Error, transcode};

use answer::Answer;

use crate::outbound::{client, is_loopback, secret, words};

/// Instances of one request, and bytes of them together.
const TOGETHER: usize = 50;
const BYTES_TOGETHER: u64 = 64 << 20;
/// Where it is limited how fast they go, as many go together as that allows in so long.
const A_REQUEST: Duration = Duration::from_secs(60);
/// How long a service may take nothing, or say nothing.
const STALL: Duration = Duration::from_secs(120);
/// How often it is looked whether it goes on.
const LOOK: Duration = Duration::from_secs(1);
/// An answer may be this long.
const LONGEST_ANSWER: usize = 8 << 20;
/// Transfer syntaxes that may be wanted.
const MOST_SYNTAXES: usize = 16;

/// A STOW-RS service that rules can send to: `to` of `route` names it as it does a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StowService {
    /// Its name in rules: as AE titles are, and that of no peer.
    pub name: AeTitle,
    /// The URI of the service, that `/studies` is below.
    pub url: String,
    /// PEM: the CAs that its certificate has to come from. Default those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Who we are for it, with `password-file`. Default nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file with the password of `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// A file with a bearer token, read for each request. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Requests at the same time. Default 2.
    #[serde(default = "two")]
    pub max_requests: usize,
    /// KiB a second that are sent to it, at the most, all requests together; each node counts for itself. 0, the default, is as
    /// fast as it goes.
    #[serde(default)]
    pub max_kib_s: u64,
    /// When rules may send to it, by the clock of this machine: `"19:00-06:00"`. Default empty: always. What somebody asks
    /// for is sent at once.
    #[serde(default)]
    pub send_between: DayTimes,
    /// Transfer syntaxes that it takes, the best first: an instance goes in the first that it can be had in without loss, and
    /// as it is stored where there is none. Default none: as it is stored.
    #[serde(default)]
    pub transfer_syntaxes: Vec<TransferSyntaxUid>,
}

impl StowService {
    /// Whether it can be sent to, as far as the settings and the files that they name say. Blocks while it reads.
    ///
    /// # Errors
    /// `Invalid` with the setting that cannot be, or the file that cannot be read.
    pub fn check(&self) -> StoreResult<()> {
        self.opened().map(drop)
    }

    fn opened(&self) -> StoreResult<(Url, Client)> {
        let wrong = |what: String| StoreError::invalid(format!("web.destinations {}: {what}", self.name));
        let studies = format!("{}/studies", self.url.trim_end_matches('/'));
        let studies = Url::parse(&studies).map_err(|error| wrong(format!("url: {error}")))?;
        let is_secret = self.user.is_some() || self.token_file.is_some();
        match studies.scheme() {
            "https" => {}
            "http" if is_secret && !is_loopback(&studies) => {
                return Err(wrong(
                    "a password or token does not go in clear text: url has to be https".into(),
                ));
            }
            "http" => {}
            other => return Err(wrong(format!("url: {other} is neither http nor https"))),
        }
        if self.transfer_syntaxes.len() > MOST_SYNTAXES {
            return Err(wrong(format!("up to {MOST_SYNTAXES} transfer-syntaxes can be wanted")));
        }
        if self.user.is_some() != self.password_file.is_some() {
            return Err(wrong("user and password-file belong together".into()));
        }
        for path in self.password_file.iter().chain(&self.token_file) {
            secret(path).map_err(&wrong)?;
        }
        let client = client(self.ca.as_deref()).map_err(&wrong)?;
        Ok((studies, client))
    }
}

fn two() -> usize {
    2
}

/// Sends by STOW-RS.
pub struct StowDestination {
    name: String,
    service: StowService,
    studies: Url,
    client: Client,
    rate: Arc<Rate>,
    /// Where instances are recoded that it does not take as they are.
    pool: CpuPool,
}

/// Hears what becomes of each instance.
type Told = mpsc::Sender<(SopInstanceUid, Sent)>;

/// What became of a request.
enum Outcome {
    /// Of each instance.
    Told(Vec<(SopInstanceUid, Sent)>),
    /// The service does not take this request; another one it may.
    NotTaken(String),
    /// It takes none now.
    Failed(String),
}

impl StowDestination {
    /// `pool`: where instances are recoded that it does not take as they are.
    ///
    /// # Errors
    /// As [`StowService::check`].
    pub fn new(service: &StowService, pool: CpuPool) -> StoreResult<Self> {
        let (studies, client) = service.opened()?;
        let (name, rate) = (service.name.to_string(), Arc::new(Rate::of_kib(service.max_kib_s)));
        Ok(Self { name, service: service.clone(), studies, client, rate, pool })
    }

    async fn deliver(
        &self,
        from: &Session,
        instances: &[Instance],
        told: Told,
        stop: &CancellationToken,
    ) -> worker::Result<()> {
        let mut requests: Vec<BoxFuture<'_, worker::Result<bool>>> = Vec::new();
        let within = self.rate.within(A_REQUEST).unwrap_or(BYTES_TOGETHER);
        for group in groups(instances, within.min(BYTES_TOGETHER)) {
            let told = &told;
            let request = async move {
                if stop.is_cancelled() { Ok(false) } else { self.group(from, group, told).await }
            };
            requests.push(request.boxed());
        }
        let ended = stream::iter(requests).buffer_unordered(self.service.max_requests.max(1));
        let ended: Vec<worker::Result<bool>> = ended.collect().await;
        let is_any = ended.iter().any(|ended| matches!(ended, Ok(true)));
        match ended.into_iter().find_map(Result::err) {
            Some(error) if !is_any => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends these, together or one by one; gives whether the service answered for any.
    async fn group(&self, from: &Session, group: &[Instance], told: &Told) -> worker::Result<bool> {
        match self.request(from, group).await {
            Outcome::NotTaken(why) if group.len() > 1 => {
                info!(destination = self.name, why, "a request was not taken, its instances go one by one");
                for one in group {
                    let one = std::slice::from_ref(one);
                    self.tell(one, self.request(from, one).await, told).await?;
                }
                Ok(true)
            }
            outcome => self.tell(group, outcome, told).await,
        }
    }

    /// Tells what became of a request; gives whether the service answered for any.
    async fn tell(&self, group: &[Instance], outcome: Outcome, told: &Told) -> worker::Result<bool> {
        let of_all =
            |sent: Sent| group.iter().map(move |one| (one.sop_instance.clone(), sent.clone())).collect();
        let (sent, ended): (Vec<_>, _) = match outcome {
            Outcome::Told(sent) => {
                info!(destination = self.name, instances = sent.len(), "instances sent by STOW-RS");
                (sent, Ok(true))
            }
            Outcome::NotTaken(why) => (of_all(Sent::Refused(why)), Ok(true)),
            Outcome::Failed(why) => {
                warn!(destination = self.name, why, "nothing was taken");
                let error = Error::Remote(format!("{}: {why}", self.name));
                (of_all(Sent::Failed(why)), Err(error))
            }
        };
        for one in sent {
            // Nobody listens any more where the job has ended.
            let _ = told.send(one).await;
        }
        ended
    }

    /// Who we are.
    fn signed(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let request = match (&self.service.user, &self.service.password_file) {
            (Some(user), Some(path)) => request.basic_auth(user, Some(secret(path)?)),
            _ => request,
        };
        Ok(match &self.service.token_file {
            Some(path) => request.bearer_auth(secret(path)?),
            None => request,
        })
    }

    async fn request(&self, from: &Session, group: &[Instance]) -> Outcome {
        let boundary = boundary();
        let gone = Arc::new(AtomicU64::new(0));
        let body = Body::wrap_stream(self.body(from, group, &boundary, &gone));
        let content = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let request = self.client.post(self.studies.clone()).body(body);
        let request = request
            .header(header::CONTENT_TYPE, content)
            .header(header::ACCEPT, "application/dicom+json, application/json;q=0.5");
        let request = match self.signed(request) {
            Ok(request) => request,
            Err(why) => return Outcome::Failed(why),
        };
        let exchange = async {
            let answer = request.send().await?;
            let (status, mut answer, mut body) = (answer.status(), answer, Vec::new());
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() <= LONGEST_ANSWER {
                    body.extend_from_slice(&chunk);
                }
            }
            Ok::<_, reqwest::Error>((status, body))
        };
        match self.while_it_goes_on(from, &gone, exchange).await {
            Ok(Ok((status, body))) => judged(status, &body, group),
            Ok(Err(error)) => match group {
                // What cannot be read of one instance ends the request of all.
                [_, _, ..] if error.is_body() => Outcome::NotTaken(error.to_string()),
                _ => Outcome::Failed(words(&error)),
            },
            Err(why) => Outcome::Failed(why),
        }
    }

    /// Waits as long as the service takes something, or has not had so long to answer.
    async fn while_it_goes_on<T>(
        &self,
        from: &Session,
        gone: &AtomicU64,
        exchange: impl Future<Output = T>,
    ) -> Result<T, String> {
        let pressure = from.pressure();
        let mut exchange = std::pin::pin!(exchange);
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            if let Ok(done) = timeout(LOOK, &mut exchange).await {
                return Ok(done);
            }
            let now = gone.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > STALL {
                return Err(format!("it has taken and said nothing for {} s", STALL.as_secs()));
            } else if pressure.ends(since) {
                return Err("it takes nothing, and others wait for the memory".to_owned());
            }
        }
    }
}

/// Instances in their order, as many together as a request may have, and about so many bytes at the most.
fn groups(instances: &[Instance], most: u64) -> Vec<&[Instance]> {
    let mut bytes = 0;
    let mut count = 0;
    let goes_on = |_: &Instance, next: &Instance| {
        count += 1;
        bytes += next.location.length;
        let is_full = count >= TOGETHER || bytes > most;
        if is_full {
            (count, bytes) = (0, 0);
        }
        !is_full
    };
    instances.chunk_by(goes_on).collect()
}

/// 128 random bits: what nobody knows before stands in no file.
fn boundary() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(0_u8);
    format!("filmless-{:016x}{:016x}", random(), random())
}

type Parts = BoxStream<'static, worker::Result<Bytes>>;

impl StowDestination {
    /// The body of a request, as fast as it may go; `gone` counts what does.
    fn body(&self, from: &Session, group: &[Instance], boundary: &str, gone: &Arc<AtomicU64>) -> Parts {
        let files = group.iter().map(|instance| self.file(from, instance)).collect();
        paced(multipart(files, boundary), Arc::clone(&self.rate), Arc::clone(gone))
    }

    /// The Part 10 file of an instance in the form that the service takes.
    fn file(&self, from: &Session, instance: &Instance) -> Parts {
        let Some(wanted) = transcode::wanted_of(instance, &self.service.transfer_syntaxes) else {
            return from.open(instance).map_err(Error::from).boxed();
        };
        let (from, pool) = (from.clone(), self.pool.clone());
        let (instance, wanted) = (instance.clone(), wanted.clone());
        // It is made when its turn comes.
        let file = async move { transcode::file(&from, &pool, &instance, &wanted).await };
        stream::once(file).map_ok(|file| file.chunks).try_flatten().boxed()
    }
}

/// Files one behind the other (PS3.18 §8.6.1.2).
fn multipart(files: Vec<Parts>, boundary: &str) -> Parts {
    let head = Bytes::from(format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"));
    let end = Bytes::from(format!("--{boundary}--\r\n"));
    let files = stream::iter(files).flat_map(move |file| {
        let (head, tail) = (head.clone(), Bytes::from_static(b"\r\n"));
        stream::iter([Ok(head)]).chain(file).chain(stream::iter([Ok(tail)]))
    });
    files.chain(stream::iter([Ok(end)])).boxed()
}

/// The same, no faster than it may go.
fn paced(parts: Parts, rate: Arc<Rate>, gone: Arc<AtomicU64>) -> Parts {
    let step = rate.step();
    let steps = parts.map_ok(move |part| {
        let steps = Steps { part, step: step.unwrap_or(usize::MAX) };
        stream::iter(steps.map(Ok::<_, Error>))
    });
    let passed = move |bytes: Bytes| {
        let (rate, gone) = (Arc::clone(&rate), Arc::clone(&gone));
        async move {
            rate.pass(bytes.len()).await;
            gone.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Error>(bytes)
        }
    };
    steps.try_flatten().and_then(passed).boxed()
}

/// Bytes in parts of so many, at the most.
struct Steps {
    part: Bytes,
    step: usize,
}

impl Iterator for Steps {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let most = self.part.len().min(self.step);
        (most > 0).then(|| self.part.split_to(most))
    }
}

/// What an answer says of each instance (PS3.18 §10.5.3).
fn judged(status: StatusCode, body: &[u8], group: &[Instance]) -> Outcome {
    let answer = Answer::read(body);
    let of_each = |otherwise: &dyn Fn() -> Sent| {
        let each = group.iter().map(|instance| {
            let uid = &instance.sop_instance;
            (uid.clone(), answer.of(uid).unwrap_or_else(otherwise))
        });
        Outcome::Told(each.collect())
    };
    match status {
        StatusCode::OK => of_each(&|| Sent::Delivered),
        StatusCode::ACCEPTED | StatusCode::CONFLICT if answer.names_any() => {
            of_each(&|| Sent::Failed(format!("the service answered {status} and does not name it")))
        }
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::NotTaken(format!("the service answered {status}")),
        _ => Outcome::Failed(format!("the service answered {status}")),
    }
}

impl Destination for StowDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn send_between(&self) -> DayTimes {
        self.service.send_between
    }

    fn send<'a>(
        &'a self,
        from: &'a Session,
        instances: &'a [Instance],
        told: Told,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, worker::Result<()>> {
        self.deliver(from, instances, told, stop).boxed()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn service(url: &str) -> StowService {
        StowService {
            name: "CLOUD".parse().unwrap(),
            url: url.to_owned(),
            ca: None,
            user: None,
            password_file: None,
            token_file: None,
            max_requests: 2,
            max_kib_s: 0,
            send_between: DayTimes::default(),
            transfer_syntaxes: Vec::new(),
        }
    }

    #[rstest]
    #[case::no_url("pacs", "url")]
    #[case::other_scheme("ftp://pacs/dicom-web", "neither http nor https")]
    fn what_cannot_be_sent_to_is_refused(#[case] url: &str, #[case] why: &str) {
        let error = service(url).check().err().unwrap();
        assert!(error.what.contains("CLOUD") && error.what.contains(why), "{}", error.what);
    }

    #[test]
    fn a_token_goes_in_clear_text_to_nobody_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_token = |url| StowService { token_file: Some(file.path().to_owned()), ..service(url) };
        let error = |url| with_token(url).check().err().unwrap().what;
        assert!(error("http://127.0.0.1:80").contains("nothing in it"));
        std::fs::write(&file, "secret\n").unwrap();
        assert!(error("http://pacs.example.org").contains("clear text"));
        assert_eq!(secret(file.path()).unwrap(), "secret");
        let half = StowService { user: Some("us".to_owned()), ..service("https://pacs") };
        assert!(half.check().err().unwrap().what.contains("belong together"));
    }

    #[tokio::test]
    async fn a_body_goes_whole_and_no_faster_than_it_may() {
        let file = |byte: u8| stream::iter([Ok(Bytes::from(vec![byte; 60 << 10]))]).boxed();
        let (rate, gone) = (Arc::new(Rate::of_kib(100)), Arc::new(AtomicU64::new(0)));
        let begun = Instant::now();
        let first = paced(multipart(vec![file(1), file(2)], "b"), Arc::clone(&rate), Arc::clone(&gone));
        let second = paced(multipart(vec![file(3)], "b"), rate, Arc::clone(&gone));
        let sizes = |parts: Parts| parts.map_ok(|part| part.len()).try_collect::<Vec<_>>();
        let (first, second) = tokio::join!(sizes(first), sizes(second));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.iter().chain(&second).all(|size| *size <= 50 << 10), "{first:?} {second:?}");
        assert_eq!(first.iter().filter(|size| **size == 50 << 10).count(), 2);
        assert_eq!(gone.load(Ordering::Relaxed), (first.len() + second.len()) as u64);
        // 180 KiB of both together, of which the last part does not wait for itself.
        assert!(begun.elapsed() >= Duration::from_millis(1300), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_body_is_a_multipart_of_the_files() {
        let file = |text: &'static str| stream::iter([Ok(Bytes::from(text))]).boxed();
        let parts =
            paced(multipart(vec![file("one"), file("two")], "b"), Arc::new(Rate::of_kib(0)), Arc::default());
        let body: Vec<Bytes> = parts.try_collect().await.unwrap();
        let head = "--b\r\nContent-Type: application/dicom\r\n\r\n";
        assert_eq!(body.concat(), format!("{head}one\r\n{head}two\r\n--b--\r\n").as_bytes());
    }
}
