//! UPS-RS (PS3.18 §11) with Python's requests and websockets: who is told what.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;
use tests::{Pacs, Web, peers::workitems};

#[tokio::test]
async fn subscribers_hear_what_becomes_of_workitems() -> Result<()> {
    let pacs = Pacs::start().await?;
    hear(&pacs.web(), pacs.http(), pacs.http()).await
}

/// Works at one node and listens at another, or the same.
pub(crate) async fn hear(web: &Web, node: SocketAddr, other: SocketAddr) -> Result<()> {
    let seen = workitems(node, other).await?;
    let (first, second, third) = ("2.25.501", "2.25.502", "2.25.503");
    // Event type, workitem, state, and whether there is progress information (PS3.4 Table CC.2.4-1).
    let watch = json!([
        [1, first, "SCHEDULED", false],
        [1, first, "IN PROGRESS", false],
        [3, first, null, true],
        [2, first, null, false],
        [1, first, "COMPLETED", false],
        [1, second, "SCHEDULED", false],
    ]);
    assert_eq!(seen["watch"], watch, "{seen}");
    assert_eq!(seen["some"], json!([[1, second, "SCHEDULED", false]]), "{seen}");
    let canceled = json!([[1, second, "IN PROGRESS", false], [1, second, "CANCELED", false]]);
    assert_eq!(seen["suspended"], canceled, "{seen}");
    let filtered = json!([
        [1, third, "SCHEDULED", false],
        [1, second, "IN PROGRESS", false],
        [1, second, "CANCELED", false],
    ]);
    assert_eq!(seen["filtered"], filtered, "{seen}");
    assert!(seen["late"].as_array().is_some_and(|late| late.ends_with(&[json!("2.25.504")])), "{seen}");
    assert_eq!(seen["again"], false, "{seen}");
    assert_eq!(web.json("/dicom-web/workitems").await?.len(), 6);
    Ok(())
}
