//! A study, series or instance as a ZIP file (PS3.18 §8.6.1.3, Supplement 211): a File-set with its DICOMDIR (PS3.10
//! §8), for a disk or a person who has nothing but a browser.
//!
//! It is written while it is sent: no file is made, and in memory are the lines of both directories, some 600 bytes an
//! instance. What cannot be given in the transfer syntax that is asked for is left out under status 206.

use std::hash::{Hash, Hasher};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dicom_store::model::{FileSet, Instance, SopInstanceUid};
use futures_util::stream::{self, StreamExt, TryStreamExt, try_unfold};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use super::instance::{Delivery, Source};
use super::parts::Chunks;
use crate::accept::ZIP;
use crate::error::Problem;
use crate::zip::Zip;

/// Where a File-set has its directory (PS3.10 §8.6).
const DICOMDIR: &str = "DICOMDIR";

/// `name` is what a browser proposes for the file, without its ending.
pub(super) async fn answer(
    source: Source,
    deliveries: Vec<(Instance, Delivery)>,
    name: &str,
) -> Result<Response, Problem> {
    let directory_uid = directory_uid(&deliveries)?;
    let zipping = Zipping {
        source,
        deliveries: deliveries.into_iter().enumerate(),
        zip: Some(Zip::default()),
        files: FileSet::new(),
        directory_uid,
        open: None,
    };
    let mut body: Chunks =
        try_unfold(
            zipping,
            |mut zipping| async move { Ok(zipping.next().await?.map(|bytes| (bytes, zipping))) },
        )
        .boxed();
    // Head and beginning of the first file are made before the answer begins, so that their failure has a status.
    let (head, data) = (body.try_next().await?, body.try_next().await?);
    let begun = stream::iter([head, data].into_iter().flatten().map(Ok));
    let mut response = Response::new(Body::from_stream(begun.chain(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(ZIP));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.zip\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// A UID for the directory (PS3.5 §B.2), the same for the same instances.
fn directory_uid(deliveries: &[(Instance, Delivery)]) -> Result<SopInstanceUid, Problem> {
    let half = |salt: u8| {
        let mut hasher = std::hash::DefaultHasher::new();
        salt.hash(&mut hasher);
        deliveries.iter().for_each(|(instance, _)| instance.sop_instance.as_str().hash(&mut hasher));
        u128::from(hasher.finish())
    };
    Ok(SopInstanceUid::parse(&format!("2.25.{}", half(0) << 64 | half(1)))?)
}

struct Zipping {
    source: Source,
    deliveries: std::iter::Enumerate<std::vec::IntoIter<(Instance, Delivery)>>,
    /// `None` behind the end.
    zip: Option<Zip>,
    files: FileSet,
    directory_uid: SopInstanceUid,
    /// The file that is being written.
    open: Option<Chunks>,
}

impl Zipping {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(zip) = &mut self.zip else { return Ok(None) };
        if let Some(open) = &mut self.open {
            if let Some(bytes) = open.try_next().await? {
                zip.data(&bytes);
                return Ok(Some(bytes));
            }
            self.open = None;
            return Ok(Some(zip.end()));
        }
        let Some((number, (instance, how))) = self.deliveries.next() else {
            return self.finish().map(Some);
        };
        let (part, syntax) = self.source.part(number, &instance, how).await?;
        let attributes = self.source.session.header(&instance).await?.attributes()?;
        let id = self.files.add(&instance, &attributes, &syntax);
        let head = zip.begin(id.join("/"), part.length);
        self.open = Some(part.chunks);
        Ok(Some(head))
    }

    /// The directory of the File-set, and that of the ZIP file.
    fn finish(&mut self) -> Result<Bytes, Problem> {
        let Some(mut zip) = self.zip.take() else { return Ok(Bytes::new()) };
        let directory = Bytes::from(self.files.directory(&self.directory_uid)?);
        let head = zip.begin(DICOMDIR.into(), u64::try_from(directory.len()).ok());
        zip.data(&directory);
        let tail = zip.end();
        Ok([head, directory, tail, zip.finish()].concat().into())
    }
}
