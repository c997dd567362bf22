//! The queue, as an operator looks at it and steers it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs, Web,
    corpus::{NGUYEN, ct},
    program::free_address,
    wait::until,
};

const LIMIT: Duration = Duration::from_secs(30);

/// The job that sends to a peer, once it fulfils this.
async fn sending(web: &Web, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, LIMIT, async || {
        let jobs = web.json("/api/v1/jobs?kind=forward").await.ok()?;
        jobs.into_iter().find(|job| is_it(job))
    })
    .await
}

#[tokio::test]
async fn a_job_is_seen_with_what_went_wrong_put_behind_others_run_at_once_and_cancelled() -> Result<()> {
    let gone = format!("GONE=127.0.0.1:{}", free_address()?.port());
    let pacs = Pacs::with(&["--peer", &gone]).await?;
    let study = ct(NGUYEN, 2);
    pacs.hold(&study).await?;
    let web = pacs.web();
    let order = json!({"studies": [study[0].study]});
    let answer = web.post_json("/api/v1/peers/GONE/send", &order).await?;
    ensure!(answer.status.as_u16() == 202, "{answer:?}");

    let failed = sending(&web, "a job that has failed", |job| !job["error"].is_null()).await?;
    assert_eq!((&failed["priority"], &failed["cancelled"]), (&json!("awaited"), &json!(false)), "{failed}");
    assert_eq!(failed["about"], format!("{} GONE", study[0].study), "{failed}");
    ensure!(failed["asked"].as_u64() > Some(0) && failed["due"].as_u64() > failed["asked"].as_u64());
    let path = format!("/api/v1/jobs/{}", failed["job"]);

    let answer = web.put_json(&path, &json!({"priority": "batch"})).await?;
    ensure!(answer.status.as_u16() == 200, "{answer:?}");
    let job: Value = serde_json::from_slice(&answer.body).context("a job")?;
    assert_eq!(job["priority"], "batch", "{job}");

    let answer = web.post_json(&format!("{path}/run"), &json!({})).await?;
    ensure!(answer.status.as_u16() == 202 || answer.status.as_u16() == 409, "{answer:?}");
    sending(&web, "a job that comes first", |job| job["priority"] == "awaited").await?;

    let answer = web.delete(&path).await?;
    ensure!(answer.status.as_u16() == 202, "{answer:?}");
    until("a queue without it", LIMIT, async || {
        web.json("/api/v1/jobs?kind=forward").await.ok()?.is_empty().then_some(())
    })
    .await?;
    for answer in [web.get(&path, "*/*").await?, web.delete(&path).await?] {
        ensure!(answer.status.as_u16() == 404, "{answer:?}");
    }
    let audit = web.json("/api/v1/audit").await?;
    let said = |action: &str| audit.iter().any(|row| row["action"] == action);
    ensure!(said("cancel job") && said("make job batch"), "{audit:?}");

    for path in ["/api/v1/jobs?state=lost", "/api/v1/jobs?after=x", "/api/v1/jobs/x"] {
        let answer = web.get(path, "*/*").await?;
        ensure!(answer.status.as_u16() == 400, "{path}: {answer:?}");
    }
    Ok(())
}
