//! Destinations as they are: those that take one form only, those that hang, and more contexts than one association has.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tests::{
    Pacs,
    by_hand::{CT_IMAGE, IMPLICIT_LITTLE},
    corpus::{MUELLER, NGUYEN, Synthetic, ct},
    modality::{dump, files_in, meta_of},
    program::free_address,
    receivers::{hangs, storescp},
    wait::until,
};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn one_that_takes_implicit_vr_alone_gets_it_so() -> Result<()> {
    let receiver = free_address()?;
    let pacs = Pacs::with(&["--peer", &format!("OLD={receiver}")]).await?;
    pacs.hold(&ct(NGUYEN, 3)).await?;
    let into = pacs.scratch("into")?;
    let _scp = storescp(receiver, &["+xi"], &into).await?;
    pacs.modality("WS_1").move_to("OLD", "2.25.7001").await?.well()?;
    let files = files_in(&into)?;
    assert_eq!(files.len(), 3);
    for file in files {
        assert!(meta_of(&file).await?.contains(&format!("[{IMPLICIT_LITTLE}]")), "{}", meta_of(&file).await?);
        assert!(dump(&file).await?.contains("(0020,000d)"));
    }
    Ok(())
}

#[tokio::test]
async fn one_that_wants_a_form_gets_it_though_it_would_take_others() -> Result<()> {
    let receiver = free_address()?;
    let pacs = Pacs::start().await?;
    let peer = json!({
        "host": "127.0.0.1", "port": receiver.port(), "transfer-syntaxes": [IMPLICIT_LITTLE],
    });
    pacs.web().put_json("/api/v1/peers/CHOOSY", &peer).await?;
    pacs.hold(&ct(NGUYEN, 1)).await?;
    let into = pacs.scratch("into")?;
    let _scp = storescp(receiver, &["+xa"], &into).await?;
    until("a destination that was told", LIMIT, async || {
        pacs.modality("WS_1").move_to("CHOOSY", "2.25.7001").await.ok()?.success.then_some(())
    })
    .await?;
    let files = files_in(&into)?;
    let meta = meta_of(files.first().context("nothing came")?).await?;
    assert!(meta.contains(&format!("[{IMPLICIT_LITTLE}]")), "{meta}");
    Ok(())
}

/// More SOP classes than one association has contexts for: each is proposed in two forms.
#[tokio::test]
async fn more_contexts_than_one_association_has_are_shared_out() -> Result<()> {
    let receiver = free_address()?;
    let pacs = Pacs::with(&["--peer", &format!("WIDE={receiver}")]).await?;
    let classes = (10..100).map(|n| format!("1.2.840.10008.5.1.4.1.1.{n}"));
    let instances: Vec<_> =
        ct(NGUYEN, 90).into_iter().zip(classes).map(|(slice, class)| of_class(slice, &class)).collect();
    let instances = instances.into_iter().collect::<Result<Vec<_>>>()?;
    pacs.hold(&instances).await?;
    let into = pacs.scratch("into")?;
    let _scp = storescp(receiver, &["--promiscuous"], &into).await?;
    pacs.modality("WS_1").move_to("WIDE", "2.25.7001").await?.well()?;
    assert_eq!(files_in(&into)?.len(), 90);
    assert_eq!(pacs.log().matches("instances sent").count(), 2, "{}", pacs.log());
    Ok(())
}

/// The same instance of another SOP class, whose UID is as long.
fn of_class(slice: Synthetic, class: &str) -> Result<Synthetic> {
    let (from, to) = (format!("{CT_IMAGE}\0"), class.as_bytes());
    ensure!(from.len() == to.len(), "{class} is not as long as the UID of CT");
    let at = memchr::memmem::find(&slice.data_set, from.as_bytes()).context("a slice of CT")?;
    let mut data_set = slice.data_set.to_vec();
    data_set.splice(at..at + to.len(), to.iter().copied());
    Ok(Synthetic { sop_class: String::leak(class.to_owned()), data_set: data_set.into(), ..slice })
}

#[tokio::test]
async fn one_that_hangs_holds_back_nobody_and_is_given_up() -> Result<()> {
    let (stuck, _hanging) = hangs().await?;
    let receiver = free_address()?;
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("filmless.toml");
    std::fs::write(&settings, "[dimse]\nartim-s = 8\nresponse-s = 12\n")?;
    let peers = [format!("STUCK={stuck}"), format!("WS_1={receiver}")];
    let options = ["--config", &settings.to_string_lossy(), "--peer", &peers[0], "--peer", &peers[1]];
    let pacs = Pacs::with(&options).await?;
    pacs.hold(&ct(NGUYEN, 2)).await?;
    pacs.hold(&ct(MUELLER, 2)).await?;
    // More at a time than it may have associations: four wait for an answer, the others for their places.
    let modality = pacs.modality("WS_2");
    let stuck = futures_util::future::join_all((0..6).map(|_| modality.move_to("STUCK", "2.25.7001")));
    let mut stuck = std::pin::pin!(stuck);
    let into = pacs.scratch("into")?;
    let usual = pacs.modality("WS_1");
    tokio::select! {
        biased;
        files = usual.fetch_by_move("2.25.7002", receiver.port(), &into) => {
            let files = files?;
            ensure!(files.len() == 2, "{files:?}");
        }
        _ = &mut stuck => bail!("others waited until the one that hangs was given up"),
    }
    let moved = timeout(LIMIT, stuck).await;
    for answer in moved.context("a C-MOVE to one that hangs does not end")? {
        let answer = answer?;
        let said = format!("{}{}", answer.stdout, answer.stderr);
        assert!(said.contains("OutOfResourcesSubOperations"), "{said}");
    }
    Ok(())
}
