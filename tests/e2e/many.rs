//! Many associations at once: up to the declared limit all are served, and beyond it each hears why it is not.

use anyhow::{Context, Result, ensure};
use tests::{
    Pacs,
    by_hand::{
        Association, CT_IMAGE, IMPLICIT_LITTLE, Proposal, VERIFICATION, associate_rq, connect, read_pdu,
    },
    corpus::{NGUYEN, ct},
};
use tokio::{io::AsyncWriteExt, task::JoinSet};

const OPEN: usize = 200;
const SENDING: usize = 60;
/// Instances that each of them sends.
const INSTANCES: u16 = 5;

async fn idle(pacs: &Pacs, number: usize) -> Result<Association> {
    let proposal = Proposal { id: 1, abstract_syntax: VERIFICATION, transfer_syntaxes: &[IMPLICIT_LITTLE] };
    Association::request(pacs.dimse(), &format!("WAITS_{number}"), &[proposal]).await
}

/// What a request for one more association is answered with.
async fn one_more(pacs: &Pacs) -> Result<(u8, Vec<u8>)> {
    let proposal = Proposal { id: 1, abstract_syntax: VERIFICATION, transfer_syntaxes: &[IMPLICIT_LITTLE] };
    let mut stream = connect(pacs.dimse()).await?;
    stream.write_all(&associate_rq("ONE_MORE", "FILMLESS", &[proposal])?).await?;
    let answer = read_pdu(&mut stream).await?;
    Ok((answer.kind, answer.body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_associations_are_open_and_sixty_of_them_send() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("filmless.toml");
    std::fs::write(&settings, format!("[dimse]\nmax-associations = {OPEN}\n"))?;
    let pacs = Pacs::with(&["--config", settings.to_str().context("a path")?]).await?;
    let mut waiting = Vec::new();
    for number in SENDING..OPEN {
        waiting.push(idle(&pacs, number).await?);
    }
    let mut sending = Vec::new();
    for number in 0..SENDING {
        sending.push(Association::for_ct(pacs.dimse(), &format!("CT_{number}")).await?);
    }
    // A-ASSOCIATE-RJ: rejected-transient, of the presentation layer, local-limit-exceeded.
    assert_eq!(one_more(&pacs).await?, (3, vec![0, 2, 3, 2]));
    let mut senders = JoinSet::new();
    for mut association in sending {
        senders.spawn(async move {
            let slices = ct(NGUYEN, INSTANCES);
            for slice in &slices {
                let status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
                ensure!(status == 0, "status {status:04X}");
            }
            association.release().await?;
            Ok(slices)
        });
    }
    // The others are answered all the while.
    for association in &mut waiting {
        assert_eq!(association.echo(1).await?, 0);
    }
    let mut kept = 0;
    while let Some(sent) = senders.join_next().await {
        for slice in sent?? {
            let study =
                format!("/dicom-web/studies/{}/instances?SOPInstanceUID={}", slice.study, slice.sop_instance);
            kept += pacs.web().json(&study).await?.len();
        }
    }
    assert_eq!(kept, SENDING * usize::from(INSTANCES));
    // Sixty have gone, so there is room again.
    idle(&pacs, OPEN).await?.release().await?;
    for association in waiting {
        association.release().await?;
    }
    Ok(())
}
