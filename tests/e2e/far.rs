//! A study in a bucket that is far away: how often its readers wait for the way there and back.
//!
//! What is counted are round trips one after the other, not time; `make bench` tells the time.

use std::time::Duration;

use anyhow::{Context, Result};
use dicom_store::fixture::Bucket;
use futures_util::future::try_join_all;
use hyper::StatusCode;
use tempfile::TempDir;
use tests::{
    Modality, Program, Web,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, Synthetic, ct_of_size},
};

/// Far longer than what the machine itself takes for an answer, so that what is done at once is counted as one.
const DELAY: Duration = Duration::from_millis(500);
const SLICES: u16 = 128;
/// As a viewer opens them.
const CONNECTIONS: usize = 6;

struct FarAway {
    folder: TempDir,
    bucket: Bucket,
    slices: Vec<Synthetic>,
}

/// What a reader asked the bucket for.
#[derive(Debug)]
struct Asked {
    requests: u64,
    round_trips: u64,
}

impl FarAway {
    /// A study whose slices came one after the other, so that each is a pack of its own.
    async fn new() -> Result<Self> {
        let (folder, bucket) = (TempDir::new()?, Bucket::new(Duration::ZERO).await);
        let far = Self { folder, bucket, slices: ct_of_size(NGUYEN, SLICES, 128) };
        let mut settings = toml::Table::new();
        let store = far.bucket.config_in_files(0, &far.folder);
        settings.insert("store".to_owned(), toml::Value::try_from(&store)?);
        std::fs::write(far.folder.path().join("filmless.toml"), settings.to_string())?;
        let server = far.server().await?;
        let mut association = Association::for_ct(server.dimse, "CT_1").await?;
        for slice in &far.slices {
            let status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
            assert_eq!(status, 0);
        }
        association.release().await?;
        server.kill().await?;
        assert_eq!(far.bucket.packs().await.len(), usize::from(SLICES));
        Ok(far)
    }

    /// A server that has read nothing yet.
    async fn server(&self) -> Result<Program> {
        let settings = self.folder.path().join("filmless.toml");
        let settings = settings.to_str().context("a path in UTF-8")?;
        Program::start(&self.folder.path().join("data"), &["--config", settings]).await
    }

    fn counts(&self) -> (u64, u64) {
        (self.bucket.requests().unwrap_or_default(), self.bucket.round_trips().unwrap_or_default())
    }

    /// What a reader asks for, from a server that has read nothing yet.
    async fn asked(&self, read: impl AsyncFnOnce(&Program) -> Result<()>) -> Result<Asked> {
        let server = self.server().await?;
        let (requests, round_trips) = self.counts();
        self.bucket.answers_after(DELAY);
        read(&server).await?;
        self.bucket.answers_after(Duration::ZERO);
        let now = self.counts();
        server.kill().await?;
        Ok(Asked { requests: now.0 - requests, round_trips: now.1 - round_trips })
    }

    fn url(&self) -> String {
        format!("/dicom-web/studies/{}", self.slices[0].study)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_study_is_read_in_a_tenth_of_the_round_trips_that_its_packs_would_take_one_by_one() -> Result<()> {
    let far = FarAway::new().await?;
    let study = far.url();
    let whole = far.asked(async |server| {
        let accept = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
        let parts = Web::new(server.http).get(&study, accept).await?.parts()?;
        assert_eq!(parts.len(), usize::from(SLICES));
        Ok(())
    });
    assert_cheap("WADO-RS study", &whole.await?, u64::from(SLICES) / 10);
    let got = far.asked(async |server| {
        let into = far.folder.path().join("got");
        std::fs::create_dir(&into)?;
        let files = Modality::new(server.dimse, "WS_1").get(&far.slices[0].study, &into).await?;
        assert_eq!(files.len(), usize::from(SLICES));
        Ok(())
    });
    assert_cheap("C-GET", &got.await?, u64::from(SLICES) / 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_asked_for_one_by_one_are_fetched_before() -> Result<()> {
    let far = FarAway::new().await?;
    let asked = far.asked(async |server| {
        let metadata = Web::new(server.http).json(&format!("{}/metadata", far.url())).await?;
        assert_eq!(metadata.len(), usize::from(SLICES));
        let readers = (0..CONNECTIONS).map(|reader| {
            let web = Web::new(server.http);
            let slices = far.slices.iter().skip(reader).step_by(CONNECTIONS);
            async move {
                for Synthetic { study, series, sop_instance, .. } in slices {
                    let frame = format!(
                        "/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1"
                    );
                    let answer =
                        web.get(&frame, "multipart/related; type=\"application/octet-stream\"").await?;
                    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                }
                anyhow::Ok(())
            }
        });
        try_join_all(readers).await.map(|_| ())
    });
    // Without, each of the connections would wait for each of its frames: 21 times.
    assert_cheap("frames", &asked.await?, 12);
    Ok(())
}

fn assert_cheap(what: &str, asked: &Asked, most: u64) {
    // A thumbnail may be made beside it, of one slice more.
    assert!(asked.requests <= u64::from(SLICES) + 8, "{what}: a block is fetched more than once: {asked:?}");
    assert!(asked.round_trips <= most, "{what}: {asked:?}");
}
