//! The service under test, instances to store in it, and answers taken apart.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use dicom::dictionary_std::{tags, uids};
use dicom_store::model::{
    AeTitle, Attributes, Encoding, FileMeta, SopClassUid, SopInstanceUid, StudyInstanceUid,
    TransferSyntaxUid, VR, transfer_syntax,
};
use dicom_store::{Archive, Peer, Session};
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wado::{About, Config, Web};
use worker::remote::{Fetched, Found};
use worker::{CpuPool, Destination, Exchange, Remotes};

pub(crate) const INSTANCES: &str = "multipart/related; type=\"application/dicom\"";
pub(crate) const AS_STORED: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
pub(crate) const OCTETS: &str = "multipart/related; type=\"application/octet-stream\"";
pub(crate) const JSON: &str = "application/dicom+json";

/// A service over an empty archive.
pub(crate) struct Service {
    router: Router,
    pub(crate) archive: Archive,
    /// Where the archive lies.
    pub(crate) folder: TempDir,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A part of a multipart answer.
pub(crate) struct Part {
    pub(crate) head: String,
    pub(crate) body: Bytes,
}

/// One peer of the settings, and nobody who answers.
struct NobodyElse;

impl Remotes for NobodyElse {
    fn fixed(&self) -> Vec<Peer> {
        vec!["WS_1=ws1.example:11112".parse().unwrap()]
    }

    fn peer<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Option<Arc<Peer>>> {
        let fixed = self.fixed().into_iter().find(|fixed| fixed.ae_title == *ae_title);
        Box::pin(async move { fixed.map(Arc::new) })
    }

    fn search<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        _keys: &'a Attributes,
        _most: usize,
    ) -> BoxFuture<'a, worker::Result<Found>> {
        Box::pin(async move { Err(no_answer(ae_title)) })
    }

    fn fetch<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        _study: &'a StudyInstanceUid,
        _stop: &'a CancellationToken,
    ) -> BoxFuture<'a, worker::Result<Fetched>> {
        Box::pin(async move { Err(no_answer(ae_title)) })
    }

    fn destination<'a>(&'a self, _ae_title: &'a AeTitle) -> BoxFuture<'a, Option<Arc<dyn Destination>>> {
        Box::pin(async { None })
    }

    fn notify<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        _from: &'a Session,
        _study: &'a StudyInstanceUid,
    ) -> BoxFuture<'a, worker::Result<()>> {
        Box::pin(async move { Err(no_answer(ae_title)) })
    }

    fn echo<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, worker::Result<Duration>> {
        Box::pin(async move { Err(no_answer(ae_title)) })
    }
}

fn no_answer(ae_title: &AeTitle) -> worker::Error {
    worker::Error::Remote(format!("{ae_title} does not answer"))
}

impl Service {
    pub(crate) async fn open() -> Self {
        Self::with(Config { open: true, ..Config::default() }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let (archive, folder) = dicom_store::fixture::archive().await;
        let pool = CpuPool::new(1).unwrap();
        let exchange = Exchange::new(Arc::new(NobodyElse), archive.work());
        let web = Web::new(archive.clone(), pool, config);
        let about = About { version: "0", ae_title: "FILMLESS".into(), max_instance_bytes: 1 << 30 };
        let router = wado::api_router(web.clone(), about, exchange)
            .nest_service(wado::PATH, wado::router(web.clone()))
            .merge(wado::uri_router(web));
        Self { router, archive, folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str, accept: &str) -> Answer {
        self.get_with(path, &[(ACCEPT.as_str(), accept)]).await
    }

    pub(crate) async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(uri(path)).header("host", "pacs.test");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(uri(path)).header("host", "pacs.test").header(CONTENT_TYPE, content_type);
        self.send(request.header(ACCEPT, "application/dicom+json").body(body.into()).unwrap()).await
    }

    /// Stores files by multipart and expects that all of them are taken.
    pub(crate) async fn store(&self, files: &[Vec<u8>]) {
        let (content_type, body) = multipart(files);
        let answer = self.post("/studies", &content_type, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
}

fn uri(path: &str) -> String {
    // Links in answers are absolute.
    let path = path.strip_prefix("http://pacs.test/dicom-web").unwrap_or(path);
    if path.starts_with("/wado") || path.starts_with("/api") {
        path.to_owned()
    } else {
        format!("/dicom-web{path}")
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let boundary = self.field("content-type").split("boundary=").nth(1).unwrap();
        let delimiter = format!("\r\n--{boundary}");
        let mut rest = [b"\r\n", &self.body[..]].concat();
        let mut parts = Vec::new();
        loop {
            assert!(rest.starts_with(delimiter.as_bytes()));
            rest.drain(..delimiter.len());
            if rest.starts_with(b"--") {
                return parts;
            }
            let head_end = memchr::memmem::find(&rest, b"\r\n\r\n").unwrap();
            let end = memchr::memmem::find(&rest, delimiter.as_bytes()).unwrap();
            let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
            parts.push(Part { head, body: Bytes::copy_from_slice(&rest[head_end + 4..end]) });
            rest.drain(..end);
        }
    }
}

/// `Content-Type` and body of a multipart request.
pub(crate) fn multipart(files: &[Vec<u8>]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    ("multipart/related; type=\"application/dicom\"; boundary=b0undary".into(), body)
}

/// A grey image of 4 rows and 6 columns of 16 bits, with a header that has a bit of everything.
pub(crate) fn image(study: &str, series: &str, instance: &str) -> Attributes {
    let mut item = Attributes::new();
    item.put_text(tags::PATIENT_ID, VR::LO, "OTHER");
    let mut attributes = Attributes::new();
    attributes.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    attributes.put_text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
    attributes.put_text(tags::SOP_INSTANCE_UID, VR::UI, instance);
    attributes.put_text(tags::STUDY_DATE, VR::DA, "20260131");
    attributes.put_text(tags::MODALITY, VR::CS, "CT");
    attributes.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^An");
    attributes.put_text(tags::PATIENT_ID, VR::LO, "P1");
    attributes.put_items(tags::OTHER_PATIENT_I_DS_SEQUENCE, vec![item, Attributes::new()]);
    attributes.put_text(tags::STUDY_INSTANCE_UID, VR::UI, study);
    attributes.put_text(tags::SERIES_INSTANCE_UID, VR::UI, series);
    attributes.put_text(tags::SERIES_NUMBER, VR::IS, "1");
    attributes.put_text(tags::INSTANCE_NUMBER, VR::IS, "7");
    attributes.put_u16(tags::SAMPLES_PER_PIXEL, 1);
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    attributes.put_u16(tags::ROWS, 4);
    attributes.put_u16(tags::COLUMNS, 6);
    attributes.put_u16(tags::BITS_ALLOCATED, 16);
    attributes.put_u16(tags::BITS_STORED, 16);
    attributes.put_u16(tags::HIGH_BIT, 15);
    attributes.put_u16(tags::PIXEL_REPRESENTATION, 0);
    attributes.put_bytes(tags::PIXEL_DATA, VR::OW, pixels());
    attributes
}

/// 24 values, from 0 up.
pub(crate) fn pixels() -> Vec<u8> {
    (0..24_u16).flat_map(|value| (value * 300).to_le_bytes()).collect()
}

pub(crate) fn explicit(attributes: &Attributes) -> Vec<u8> {
    file(attributes, transfer_syntax::EXPLICIT_LITTLE, attributes.write(Encoding::ExplicitLittle))
}

pub(crate) fn file(attributes: &Attributes, syntax: &str, data_set: Vec<u8>) -> Vec<u8> {
    let class = SopClassUid::parse(attributes.uid(tags::SOP_CLASS_UID).unwrap()).unwrap();
    let instance = SopInstanceUid::parse(attributes.uid(tags::SOP_INSTANCE_UID).unwrap()).unwrap();
    let head = FileMeta::head(&class, &instance, &TransferSyntaxUid::parse(syntax).unwrap(), None);
    [head.to_vec(), data_set].concat()
}

/// The image in RLE, in one fragment.
pub(crate) fn rle(attributes: &Attributes) -> Vec<u8> {
    let stream = rle_stream(attributes.bytes(tags::PIXEL_DATA).unwrap());
    encapsulated(attributes, transfer_syntax::RLE, &[&stream])
}

/// Samples of 16 bits in RLE: one literal run a byte plane (PS3.5 Annex G).
pub(crate) fn rle_stream(bytes: &[u8]) -> Vec<u8> {
    let planes = [1, 0].map(|plane| bytes.iter().skip(plane).step_by(2).copied().collect::<Vec<u8>>());
    let mut stream = vec![0_u8; 64];
    stream[0] = 2;
    for (number, plane) in planes.iter().enumerate() {
        let offset = u32::try_from(stream.len()).unwrap();
        stream[4 + 4 * number..8 + 4 * number].copy_from_slice(&offset.to_le_bytes());
        stream.push(u8::try_from(plane.len() - 1).unwrap());
        stream.extend_from_slice(plane);
        stream.resize(stream.len().next_multiple_of(2), 0x80);
    }
    stream
}

/// The image with its pixels in these fragments.
pub(crate) fn encapsulated(attributes: &Attributes, syntax: &str, fragments: &[&[u8]]) -> Vec<u8> {
    let mut header = attributes.clone();
    header.remove(tags::PIXEL_DATA);
    let mut data_set = header.write(Encoding::ExplicitLittle);
    data_set.extend_from_slice(b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\0\0\0\0");
    for fragment in fragments {
        data_set.extend_from_slice(b"\xFE\xFF\0\xE0");
        data_set.extend_from_slice(&u32::try_from(fragment.len()).unwrap().to_le_bytes());
        data_set.extend_from_slice(fragment);
    }
    data_set.extend_from_slice(b"\xFE\xFF\xDD\xE0\0\0\0\0");
    file(attributes, syntax, data_set)
}

/// Reads a Part 10 file of an answer.
pub(crate) fn parsed(file: &Bytes) -> (String, Attributes) {
    let meta = FileMeta::read(file, true).unwrap().unwrap();
    let data_set = file.slice(usize::try_from(meta.data_set).unwrap()..);
    let attributes = Attributes::read(data_set, meta.transfer_syntax.facts().encoding).unwrap();
    (meta.transfer_syntax.to_string(), attributes)
}
