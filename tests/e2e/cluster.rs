//! Several servers on one PostgreSQL and one bucket.
//!
//! The bucket is in this process, or in a cluster of the Garage that `TEST_GARAGE` names (`make test-cluster`).

mod bucket;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use dicom_store::fixture::{Bucket, Database};
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tests::{
    Program, Web,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, StudyOf, Synthetic, ct},
    pacs::{data_set_of, stored_file},
    program::filmless,
    wait::until,
};

use crate::workitems::hear;

/// Endpoints of the bucket; each node has one of them.
const ENDPOINTS: usize = 3;

/// What the nodes share, and the data folders of each.
struct Cluster {
    folder: TempDir,
    bucket: Bucket,
    database: Database,
}

impl Cluster {
    async fn new() -> Result<Self> {
        Self::over(Bucket::of_run(env::var_os("TEST_GARAGE"), ENDPOINTS, Duration::ZERO).await).await
    }

    async fn over(bucket: Bucket) -> Result<Self> {
        Ok(Self { folder: TempDir::new()?, bucket, database: Database::new().await })
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node{node}")).join("data")
    }

    /// The file of a node's settings.
    fn settings(&self, node: usize) -> Result<String> {
        let endpoint = node % self.bucket.endpoints();
        let mut store = self.bucket.config_in_files(endpoint, &self.folder);
        store.index = self.database.url().into();
        let mut settings = toml::Table::new();
        settings.insert("store".to_owned(), toml::Value::try_from(&store)?);
        let log = toml::Table::from_iter([("level".to_owned(), "info,worker=debug".into())]);
        settings.insert("log".to_owned(), log.into());
        let file = self.folder.path().join(format!("node{node}.toml"));
        std::fs::write(&file, settings.to_string())?;
        Ok(file.to_str().context("a path in UTF-8")?.to_owned())
    }

    async fn node(&self, node: usize) -> Result<Program> {
        let data = self.data(node);
        std::fs::create_dir_all(&data)?;
        Program::start(&data, &["--config", &self.settings(node)?]).await
    }

    /// As many nodes, all of which start at once.
    async fn nodes(&self, count: usize) -> Result<Vec<Program>> {
        try_join_all((0..count).map(|node| self.node(node))).await
    }
}

async fn assert_holds(web: &Web, slice: &Synthetic) -> Result<()> {
    let Synthetic { study, series, sop_instance, .. } = slice;
    let rows =
        web.json(&format!("/dicom-web/studies/{study}/instances?SOPInstanceUID={sop_instance}")).await?;
    ensure!(rows.len() == 1, "{sop_instance} is not found: {rows:?}");
    let kept = stored_file(web, study, series, sop_instance).await?;
    ensure!(data_set_of(&kept)? == slice.data_set, "{sop_instance} is there in part");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_answers_for_what_any_other_acknowledged() -> Result<()> {
    let cluster = Cluster::new().await?;
    let nodes = cluster.nodes(3).await?;
    let webs: Vec<Web> = nodes.iter().map(|node| Web::new(node.http)).collect();
    // One study, whose slices come to each of the nodes in turn.
    let slices = ct(StudyOf { number: 1, ..NGUYEN }, 9);
    let mut associations = Vec::new();
    for node in &nodes {
        associations.push(Association::for_ct(node.dimse, "CT_1").await?);
    }
    for (n, slice) in slices.iter().enumerate() {
        let status = associations[n % 3].store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
        assert_eq!(status, 0);
        // The very next query, to another node.
        assert_holds(&webs[(n + 1) % 3], slice).await?;
    }
    for web in &webs {
        let study = web.json("/dicom-web/studies").await?;
        assert_eq!(study[0]["00201208"]["Value"][0], 9, "{study:?}");
        for slice in &slices {
            assert_holds(web, slice).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_hears_at_any_node_what_another_did() -> Result<()> {
    let cluster = Cluster::new().await?;
    let nodes = cluster.nodes(2).await?;
    hear(&Web::new(nodes[1].http), nodes[0].http, nodes[1].http).await
}

type Acknowledged = Arc<Mutex<BTreeMap<String, Synthetic>>>;

/// Sends to the node until it dies; notes each instance after success was said.
async fn send(server: std::net::SocketAddr, slices: Vec<Synthetic>, acknowledged: Acknowledged) {
    let Ok(mut association) = Association::for_ct(server, "CT_1").await else { return };
    for slice in slices {
        match association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await {
            Ok(0) => acknowledged.lock().expect("no sender panics").insert(slice.sop_instance.clone(), slice),
            _ => return,
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_under_load_loses_nothing_and_holds_up_nobody() -> Result<()> {
    let cluster = Cluster::new().await?;
    let mut nodes = cluster.nodes(3).await?;
    let acknowledged = Acknowledged::default();
    let mut senders = Vec::new();
    for (number, node) in (1..).zip(&nodes) {
        // More than the one that is killed can take before it is.
        let count = if number == 1 { 2000 } else { 60 };
        let slices = ct(StudyOf { number, ..NGUYEN }, count);
        senders.push(tokio::spawn(send(node.dimse, slices, acknowledged.clone())));
    }
    let of_first = |acknowledged: &Acknowledged| {
        let all = acknowledged.lock().expect("no sender panics");
        all.keys().filter(|uid| uid.starts_with("2.25.7001.")).count()
    };
    until("a good part of the first study is acknowledged", Duration::from_secs(60), async || {
        (of_first(&acknowledged) >= 20).then_some(())
    })
    .await?;
    nodes.remove(0).kill().await?;
    for sender in senders {
        sender.await?;
    }
    let count = of_first(&acknowledged);
    assert!(count < 2000, "all was sent before the kill");
    // The others went on, and have what it had said.
    let all = acknowledged.lock().expect("no sender panics").clone();
    assert_eq!(all.len() - count, 120);
    let web = Web::new(nodes[1].http);
    for slice in all.values() {
        assert_holds(&web, slice)
            .await
            .with_context(|| format!("after the kill; its log:\n{}", nodes[1].log()))?;
    }
    // It comes back as who it was and takes what it did not get to say.
    nodes.push(cluster.node(0).await?);
    let rest = ct(StudyOf { number: 1, ..NGUYEN }, u16::try_from(count)? + 10);
    let back = nodes.last().context("the node that came back")?;
    send(back.dimse, rest, acknowledged.clone()).await;
    assert_eq!(of_first(&acknowledged), count + 10);
    for pack in cluster.bucket.packs().await {
        assert!(pack.0 / 1_000_000_000 < 3, "pack {pack} is of a fourth node");
    }
    Ok(())
}

/// The jobs that a node has done, by their number.
fn jobs_done(node: &Program) -> Vec<String> {
    let log = node.log();
    let done = log.lines().filter(|line| line.contains("job done"));
    done.filter_map(|line| Some(line.split_once(" id=")?.1.split([' ', '}']).next()?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_done_by_one_node() -> Result<()> {
    let cluster = Cluster::new().await?;
    let nodes = cluster.nodes(3).await?;
    let senders = (1..).zip(&nodes).map(|(number, node)| {
        let studies = (0..8).flat_map(|n| ct(StudyOf { number: 10 * number + n, ..NGUYEN }, 1));
        send(node.dimse, studies.collect(), Acknowledged::default())
    });
    futures_util::future::join_all(senders).await;
    // Each series gets a thumbnail, and another one when it has settled.
    let done = until("the jobs of 24 studies are done", Duration::from_secs(120), async || {
        let done: Vec<String> = nodes.iter().flat_map(jobs_done).collect();
        (done.len() >= 24).then_some(done)
    });
    let done = done.await?;
    let different: BTreeSet<&String> = done.iter().collect();
    assert_eq!(different.len(), done.len(), "a job was done twice: {done:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_not_made_anew_under_nodes_that_work() -> Result<()> {
    let cluster = Cluster::new().await?;
    let node = cluster.node(0).await?;
    let slices = ct(StudyOf { number: 1, ..NGUYEN }, 3);
    send(node.dimse, slices.clone(), Acknowledged::default()).await;
    let other = cluster.data(1);
    std::fs::create_dir_all(&other)?;
    let settings = cluster.settings(1)?;
    let reindex = ["reindex", "--config", &settings, "--data", other.to_str().unwrap_or_default()];
    let refused = filmless(&reindex).await?;
    assert!(!refused.success);
    assert!(refused.stderr.contains("have to be stopped"), "{}", refused.stderr);
    node.kill().await?;
    let done = filmless(&reindex).await?;
    assert!(done.stdout.contains("3 instances of 1 studies"), "{} {}", done.stdout, done.stderr);
    Ok(())
}
