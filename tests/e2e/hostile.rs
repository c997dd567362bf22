//! Peers that lie, stall or break off: each hears the standard's status, and the server goes on for the others.

use std::time::Duration;

use anyhow::{Context, Result};
use tests::{
    Pacs,
    by_hand::{
        Association, CT_IMAGE, EXPLICIT_LITTLE, Proposal, associate_rq, command_set, connect, p_data, pdv,
    },
    corpus::{DataSet, MUELLER, NGUYEN, Synthetic, ct},
    wait::until,
};
use tokio::io::AsyncWriteExt;

const OUT_OF_RESOURCES: u16 = 0xA700;
const DATA_SET_DOES_NOT_MATCH: u16 = 0xA900;
const CANNOT_UNDERSTAND: u16 = 0xC000;

/// The whole range of a failure class (PS3.4 Table B.2-1): `Axxx` and `Cxxx` leave the last digits to the server.
fn class_of(status: u16) -> u16 {
    if status & 0xF000 == 0xC000 { CANNOT_UNDERSTAND } else { status & 0xFF00 }
}

/// Another peer stores and is told success: the server has survived.
async fn assert_goes_on(pacs: &Pacs) -> Result<()> {
    let slice = ct(MUELLER, 1).remove(0);
    let mut association = Association::for_ct(pacs.dimse(), "WELL_BRED").await?;
    assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
    association.release().await
}

async fn assert_absent(pacs: &Pacs, instance: &Synthetic) -> Result<()> {
    let found = pacs.web().json(&format!("/dicom-web/studies?StudyInstanceUID={}", instance.study)).await?;
    assert_eq!(found.len(), 0, "part of a refused instance is there: {found:?}");
    Ok(())
}

fn command(slice: &Synthetic) -> Result<Vec<u8>> {
    let even = |uid: &str| [uid.as_bytes(), if uid.len() % 2 == 1 { b"\0" } else { b"" }].concat();
    command_set(&[
        (0x0002, even(CT_IMAGE)),
        (0x0100, vec![1, 0]),
        (0x0110, vec![1, 0]),
        (0x0700, vec![0, 0]),
        (0x0800, vec![0, 0]),
        (0x1000, even(&slice.sop_instance)),
    ])
}

#[tokio::test]
async fn takes_several_pdvs_in_one_pdu() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let (command_head, command_tail) = (command(&slice)?, Vec::new());
    let third = slice.data_set.len() / 3;
    let (first, rest) = slice.data_set.split_at(third);
    let (second, last) = rest.split_at(third);
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    // Command and data set in one P-DATA-TF, the command's last fragment empty (PS3.8 §9.3.5).
    let pdvs = [
        pdv(1, 0b01, &command_head)?,
        pdv(1, 0b11, &command_tail)?,
        pdv(1, 0b00, first)?,
        pdv(1, 0b00, second)?,
        pdv(1, 0b10, last)?,
    ];
    association.send(&p_data(&pdvs)?).await?;
    assert_eq!(association.status().await?, 0);
    let kept = tests::pacs::data_set_of(&pacs.file_of(&slice).await?)?;
    assert!(kept == slice.data_set);
    association.release().await
}

#[tokio::test]
async fn refuses_garbage_in_place_of_a_data_set_and_keeps_the_association() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut slices = ct(NGUYEN, 2).into_iter();
    let (bad, good) = slices.next().zip(slices.next()).context("two slices")?;
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    let status = association.store(1, CT_IMAGE, &bad.sop_instance, &[0x5A; 70_000]).await?;
    assert_eq!(class_of(status), CANNOT_UNDERSTAND, "{status:04X}");
    assert_absent(&pacs, &bad).await?;
    assert_eq!(association.store(1, CT_IMAGE, &good.sop_instance, &good.data_set).await?, 0);
    association.release().await
}

#[tokio::test]
async fn refuses_a_data_set_whose_uid_differs_from_the_command() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    let status = association.store(1, CT_IMAGE, "2.25.31337", &slice.data_set).await?;
    assert_eq!(class_of(status), DATA_SET_DOES_NOT_MATCH, "{status:04X}");
    assert_absent(&pacs, &slice).await?;
    association.release().await?;
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn refuses_a_data_set_that_ends_inside_an_element() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let cut = slice.data_set.get(..slice.data_set.len() - 1001).context("a longer data set")?;
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    let status = association.store(1, CT_IMAGE, &slice.sop_instance, cut).await?;
    assert_eq!(class_of(status), CANNOT_UNDERSTAND, "{status:04X}");
    assert_absent(&pacs, &slice).await?;
    association.release().await?;
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn survives_thirty_thousand_nested_sequences() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let pixels = memchr::memmem::find(&slice.data_set, &[0xE0, 0x7F, 0x10, 0x00]).context("Pixel Data")?;
    let (before, after) = slice.data_set.split_at(pixels);
    // (0040,A730) of undefined length, and in it an item of undefined length, and so on, each of them closed.
    let open =
        [0x40, 0, 0x30, 0xA7, b'S', b'Q', 0, 0, 255, 255, 255, 255, 0xFE, 0xFF, 0, 0xE0, 255, 255, 255, 255];
    let close = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
    let deep = [before, &open.repeat(30_000), &close.repeat(30_000), after].concat();
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    let status = association.store(1, CT_IMAGE, &slice.sop_instance, &deep).await?;
    assert!(status == 0 || class_of(status) == CANNOT_UNDERSTAND, "{status:04X}");
    association.release().await?;
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn refuses_an_element_that_claims_four_gibibytes() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let mut set = DataSet { bytes: slice.data_set.to_vec() };
    set.bytes
        .extend_from_slice(&[0xE0, 0x7F, 0x10, 0x01, b'O', b'W', 0, 0, 0xF0, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4]);
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    let status = association.store(1, CT_IMAGE, &slice.sop_instance, &set.bytes).await?;
    assert_eq!(class_of(status), CANNOT_UNDERSTAND, "{status:04X}");
    association.release().await?;
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn a_peer_that_breaks_off_leaves_nothing_behind() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let half = slice.data_set.get(..slice.data_set.len() / 2).context("half a data set")?;
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    association.begin_store(1, CT_IMAGE, &slice.sop_instance).await?;
    association.data(1, half, false).await?;
    drop(association);
    assert_goes_on(&pacs).await?;
    assert_absent(&pacs, &slice).await
}

#[tokio::test]
async fn a_pdu_that_is_cut_short_harms_nobody_else() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
    let whole = p_data(&[pdv(1, 0b11, &command(&slice)?)?])?;
    association.send(whole.get(..whole.len() - 7).context("a longer PDU")?).await?;
    drop(association);
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn ends_the_association_of_a_peer_that_breaks_the_protocol() -> Result<()> {
    let pacs = Pacs::start().await?;
    let liar =
        |length: u32| [&[4, 0, 0, 0, 0, 12], &length.to_be_bytes()[..], &[1, 3, 1, 2, 3, 4, 5, 6]].concat();
    let unknown_context = p_data(&[pdv(99, 0b11, &[0; 12])?])?;
    let unknown_pdu = vec![0x42, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let huge_pdu = vec![4, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0];
    for broken in [liar(0), liar(1), liar(500), liar(u32::MAX), unknown_context, unknown_pdu, huge_pdu] {
        let mut association = Association::for_ct(pacs.dimse(), "BY_HAND").await?;
        association.send(&broken).await?;
        assert!(association.is_ended().await?, "after {broken:02X?}");
    }
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn survives_what_is_no_association_at_all() -> Result<()> {
    let pacs = Pacs::start().await?;
    let proposal = Proposal { id: 1, abstract_syntax: CT_IMAGE, transfer_syntaxes: &[EXPLICIT_LITTLE] };
    let request = associate_rq("BY_HAND", "FILMLESS", &[proposal])?;
    let mut throws: Vec<Vec<u8>> = vec![
        vec![0; 64],
        vec![0xFF; 2000],
        b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n".to_vec(),
        vec![1, 0, 0, 0, 0, 0],
        vec![1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x41, 0x41],
        [request.clone(), request.clone()].concat(),
    ];
    // Every item length of the request lies in turn.
    for at in (74..request.len().saturating_sub(2)).step_by(3) {
        let mut lying = request.clone();
        lying.splice(at..at + 2, [0xFF, 0xFE]);
        throws.push(lying);
    }
    for bytes in throws {
        let mut stream = connect(pacs.dimse()).await?;
        // It may hang up before all is written.
        let _ = stream.write_all(&bytes).await;
    }
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn five_silent_connections_keep_nobody_waiting() -> Result<()> {
    let pacs = Pacs::start().await?;
    let proposal = Proposal { id: 1, abstract_syntax: CT_IMAGE, transfer_syntaxes: &[EXPLICIT_LITTLE] };
    let request = associate_rq("SILENT", "FILMLESS", &[proposal])?;
    let mut silent = Vec::new();
    for number in 0..5 {
        let mut stream = connect(pacs.dimse()).await?;
        if number % 2 == 1 {
            stream.write_all(request.get(..20).context("a longer request")?).await?;
        }
        silent.push(stream);
    }
    let mut open = Association::for_ct(pacs.dimse(), "SILENT").await?;
    let slice = ct(NGUYEN, 1).remove(0);
    open.begin_store(1, CT_IMAGE, &slice.sop_instance).await?;
    tokio::time::timeout(Duration::from_secs(10), assert_goes_on(&pacs))
        .await
        .context("others are kept waiting")?
}

#[tokio::test]
async fn two_hundred_dropped_associations_leave_room_for_the_next() -> Result<()> {
    let pacs = Pacs::start().await?;
    for _ in 0..200 {
        drop(Association::for_ct(pacs.dimse(), "HASTY").await?);
    }
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn says_out_of_resources_when_the_disk_is_full_and_stores_again_when_it_is_not() -> Result<()> {
    let pacs = Pacs::on_limited_disk().await?;
    assert_goes_on(&pacs).await?;
    let slices = tests::corpus::ct_of_size(NGUYEN, 3, 1024);
    pacs.limit_file_size(Some(64 * 1024))?;
    let mut association = Association::for_ct(pacs.dimse(), "CT_1").await?;
    for slice in &slices {
        let status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
        assert_eq!(class_of(status), OUT_OF_RESOURCES, "{status:04X}");
        assert_absent(&pacs, slice).await?;
    }
    pacs.limit_file_size(None)?;
    // The sender repeats what it was not told success for.
    until("storing works again", Duration::from_secs(30), async || {
        let slice = slices.first()?;
        let status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await.ok()?;
        (status == 0).then_some(())
    })
    .await?;
    association.release().await
}
