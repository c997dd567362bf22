//! What becomes of the nodes when the bucket is not what it should be.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use dicom_store::fixture::Bucket;
use hyper::{StatusCode, header::RETRY_AFTER};
use tests::{
    Program, Web,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, StudyOf, Synthetic, ct},
    wait::until,
};

use super::{Acknowledged, Cluster, assert_holds, send};

/// Refused: Out of Resources (PS3.4 Table B.2-1): the sender may try again.
const OUT_OF_RESOURCES: u16 = 0xa700;
/// How long one instance may be refused.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends to a node until all is taken: what was refused for want of resources comes again, as modalities do it.
/// Gives how often something was refused.
async fn send_on(server: SocketAddr, slices: Vec<Synthetic>, acknowledged: Acknowledged) -> Result<u32> {
    let mut association = Association::for_ct(server, "CT_1").await?;
    let mut refusals = 0;
    for slice in slices {
        let began = Instant::now();
        loop {
            match association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await? {
                0 => break,
                OUT_OF_RESOURCES => refusals += 1,
                status => bail!("status {status:04x}"),
            }
            ensure!(began.elapsed() < LIMIT, "refused for {LIMIT:?}");
        }
        acknowledged.lock().expect("no sender panics").insert(slice.sop_instance.clone(), slice);
    }
    Ok(refusals)
}

fn count(acknowledged: &Acknowledged) -> usize {
    acknowledged.lock().expect("no sender panics").len()
}

async fn assert_all_held(node: &Program, acknowledged: &Acknowledged) -> Result<()> {
    let all = acknowledged.lock().expect("no sender panics").clone();
    let web = Web::new(node.http);
    for slice in all.values() {
        assert_holds(&web, slice).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_dies_under_load_loses_nothing_and_stops_only_its_own_nodes() -> Result<()> {
    let mut cluster = Cluster::new().await?;
    let nodes = cluster.nodes(2).await?;
    let (of_other, of_dying) = (Acknowledged::default(), Acknowledged::default());
    let slices = |number: u32| ct(StudyOf { number, ..NGUYEN }, 150);
    let other = tokio::spawn(send_on(nodes[0].dimse, slices(1), of_other.clone()));
    let dying = tokio::spawn(send_on(nodes[1].dimse, slices(2), of_dying.clone()));
    until("both are under load", LIMIT, async || {
        (count(&of_other) >= 20 && count(&of_dying) >= 20).then_some(())
    })
    .await?;
    cluster.bucket.stop(1).await;
    assert!(count(&of_dying) < 150, "all was sent before the endpoint died");
    other.await??;
    assert_eq!(count(&of_other), 150);
    // Neither what the other node took meanwhile nor what had come by the endpoint that is gone is missing.
    assert_all_held(&nodes[0], &of_other).await?;
    assert_all_held(&nodes[0], &of_dying).await?;
    cluster.bucket.run(1).await;
    let refusals = dying.await??;
    assert!(refusals > 0, "the endpoint was not missed");
    for acknowledged in [&of_other, &of_dying] {
        assert_eq!(count(acknowledged), 150);
        assert_all_held(&nodes[1], acknowledged).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_gone_is_told_at_once_and_used_again_when_it_is_back() -> Result<()> {
    let mut cluster = Cluster::new().await?;
    let node = cluster.node(0).await?;
    let (web, slices) = (Web::new(node.http), ct(StudyOf { number: 1, ..NGUYEN }, 6));
    let acknowledged = Acknowledged::default();
    send(node.dimse, slices[..3].to_vec(), acknowledged.clone()).await;
    assert_eq!(count(&acknowledged), 3);
    cluster.bucket.go_away().await;
    let mut association = Association::for_ct(node.dimse, "CT_1").await?;
    let late = &slices[3];
    let status = association.store(1, CT_IMAGE, &late.sop_instance, &late.data_set).await?;
    assert_eq!(status, OUT_OF_RESOURCES);
    let refused = web.store("/dicom-web/studies", &[late.file()]).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(refused.headers.contains_key(RETRY_AFTER));
    let Synthetic { study, series, sop_instance, .. } = &slices[0];
    let frame = format!("/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1");
    let unread = web.get(&frame, "multipart/related; type=\"application/octet-stream\"").await?;
    assert_eq!(unread.status, StatusCode::SERVICE_UNAVAILABLE, "{unread:?}");
    // What needs no pack goes on.
    assert_eq!(web.json(&format!("/dicom-web/studies/{study}/instances")).await?.len(), 3);
    assert_eq!(web.json(&format!("/dicom-web/studies/{study}/metadata")).await?.len(), 3);
    cluster.bucket.come_back().await;
    send_on(node.dimse, slices[3..].to_vec(), acknowledged.clone()).await?;
    assert_eq!(count(&acknowledged), 6);
    assert_all_held(&node, &acknowledged).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_begin_an_archive_together_are_let_in_again_whatever_the_bucket_can() -> Result<()> {
    for bucket in [Bucket::without_conditions(3).await, Bucket::with_endpoints(3, Duration::ZERO).await] {
        let cluster = Cluster::over(bucket).await?;
        let nodes = cluster.nodes(3).await?;
        for node in nodes {
            node.kill().await?;
        }
        let nodes = cluster.nodes(3).await?;
        for (number, node) in (1..).zip(&nodes) {
            let acknowledged = Acknowledged::default();
            let slices = ct(StudyOf { number, ..NGUYEN }, 3);
            send(node.dimse, slices, acknowledged.clone()).await;
            ensure!(count(&acknowledged) == 3, "node {number} does not take anything");
            assert_all_held(&nodes[0], &acknowledged).await?;
        }
    }
    Ok(())
}
