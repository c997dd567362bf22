//! Large instances and small pieces, in and out, in the memory of a small machine.

use std::{env, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tests::{
    Program, Web,
    by_hand::{Association, CT_IMAGE, EXPLICIT_LITTLE, Proposal, connect, p_data, pdv},
    corpus::{DataSet, MUELLER, NGUYEN, ct_of_size},
    pacs::{data_set_of, stored_file},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Multi-frame Grayscale Word Secondary Capture Image Storage.
const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7.3";
/// VL Whole Slide Microscopy Image Storage.
const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
/// Encapsulated Uncompressed Explicit VR Little Endian: fragments hold the samples themselves.
const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";

const EDGE: u16 = 2048;
const FRAME: usize = 2048 * 2048 * 2;
/// So many frames of 8 MiB are past the 32 bits of an element's length.
const FRAMES: u16 = 520;
const LIMIT: u64 = 200 * 1024 * 1024;

fn header(study: &str, series: &str, instance: &str, frames: u16) -> Vec<u8> {
    image(SECONDARY_CAPTURE, [study, series, instance], &frames.to_string(), EDGE)
}

fn image(class: &str, [study, series, instance]: [&str; 3], frames: &str, edge: u16) -> Vec<u8> {
    let mut set = DataSet::default();
    set.text(0x0008, 0x0016, "UI", class);
    set.text(0x0008, 0x0018, "UI", instance);
    set.text(0x0008, 0x0060, "CS", "OT");
    set.text(0x0010, 0x0010, "PN", "Big^One");
    set.text(0x0010, 0x0020, "LO", "BIG");
    set.text(0x0020, 0x000D, "UI", study);
    set.text(0x0020, 0x000E, "UI", series);
    set.put(0x0028, 0x0002, "US", &1_u16.to_le_bytes());
    set.text(0x0028, 0x0004, "CS", "MONOCHROME2");
    set.text(0x0028, 0x0008, "IS", frames);
    set.put(0x0028, 0x0010, "US", &edge.to_le_bytes());
    set.put(0x0028, 0x0011, "US", &edge.to_le_bytes());
    for (element, value) in [(0x0100, 16_u16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
        set.put(0x0028, element, "US", &value.to_le_bytes());
    }
    // Pixel Data of undefined length with an empty Basic Offset Table (PS3.5 §A.4).
    set.bytes.extend_from_slice(&[0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 255, 255, 255, 255]);
    set.bytes.extend_from_slice(&[0xFE, 0xFF, 0, 0xE0, 0, 0, 0, 0]);
    set.bytes
}

/// One item of one frame: zeros but for its number in the first two bytes.
fn fragment(number: u16) -> Result<Vec<u8>> {
    let mut item = vec![0xFE, 0xFF, 0, 0xE0];
    item.extend_from_slice(&u32::try_from(FRAME)?.to_le_bytes());
    item.extend_from_slice(&number.to_le_bytes());
    item.resize(8 + FRAME, 0);
    Ok(item)
}

#[tokio::test]
async fn takes_and_gives_four_gibibytes_frame_by_frame() -> Result<()> {
    let folder = TempDir::new()?;
    let program = Program::start(&folder.path().join("data"), &[]).await?;
    let (study, series, instance) = ("2.25.8001", "2.25.8001.1", "2.25.8001.1.1");

    let proposal = Proposal {
        id: 1,
        abstract_syntax: SECONDARY_CAPTURE,
        transfer_syntaxes: &[ENCAPSULATED_UNCOMPRESSED],
    };
    let mut association = Association::request(program.dimse, "BIG", &[proposal]).await?;
    association.begin_store(1, SECONDARY_CAPTURE, instance).await?;
    association.data(1, &header(study, series, instance, FRAMES), false).await?;
    for number in 1..=FRAMES {
        association.data(1, &fragment(number)?, false).await?;
    }
    association.data(1, &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0], true).await?;
    assert_eq!(association.status().await?, 0);
    association.release().await?;

    let web = Web::new(program.http);
    let path = format!("/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames");
    let accept = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
    for number in (1..=FRAMES).step_by(13).chain([FRAMES]) {
        let frame = timeout(Duration::from_secs(30), web.get(&format!("{path}/{number}"), accept)).await??;
        let parts = frame.parts()?;
        let body = parts.first().context("no part")?;
        assert_eq!(body.len(), FRAME, "frame {number}");
        assert_eq!(body.get(..2), Some(number.to_le_bytes().as_slice()), "frame {number} is another one");
    }
    assert_small(&program)
}

/// A slide of so many tiles, of 8 by 8 pixels with 16 bits, each of which begins with its number; native, or a fragment each.
fn slide(uids: [&str; 3], tiles: u32, is_encapsulated: bool) -> Result<Vec<u8>> {
    const TILE: usize = 8 * 8 * 2;
    let mut bytes = image(WHOLE_SLIDE, uids, &tiles.to_string(), 8);
    // Ends with the head of Pixel Data and an empty Basic Offset Table.
    let head = bytes.len() - 20;
    if !is_encapsulated {
        bytes.truncate(head);
        bytes.extend_from_slice(&[0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0]);
        bytes.extend_from_slice(&(u32::try_from(TILE)? * tiles).to_le_bytes());
    }
    for number in 1..=tiles {
        if is_encapsulated {
            bytes.extend_from_slice(&[0xFE, 0xFF, 0, 0xE0]);
            bytes.extend_from_slice(&u32::try_from(TILE)?.to_le_bytes());
        }
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.resize(bytes.len() + TILE - 4, 0);
    }
    if is_encapsulated {
        bytes.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    }
    Ok(bytes)
}

/// CPU time of the server for these frames, each of which has to be the right one.
async fn cost(program: &Program, frames: &str, numbers: impl Iterator<Item = u32>) -> Result<Duration> {
    let web = Web::new(program.http);
    let before = program.usage()?;
    for number in numbers {
        let answer =
            web.get(&format!("{frames}/{number}"), "application/octet-stream; transfer-syntax=*").await?;
        assert_eq!(answer.body.get(..4), Some(number.to_le_bytes().as_slice()), "frame {number}: {answer:?}");
    }
    Ok(program.usage()?.since(before).cpu)
}

/// Of a slide of 100,000 tiles any costs what the first one does.
async fn assert_frames_cost_the_same(study: &str, syntax: &str, is_encapsulated: bool) -> Result<()> {
    const TILES: u32 = 100_000;
    const ASKED: u32 = 200;
    let folder = TempDir::new()?;
    let program = Program::start(&folder.path().join("data"), &[]).await?;
    let (series, instance) = (format!("{study}.1"), format!("{study}.1.1"));
    let proposal = Proposal { id: 1, abstract_syntax: WHOLE_SLIDE, transfer_syntaxes: &[syntax] };
    let mut association = Association::request(program.dimse, "SCANNER", &[proposal]).await?;
    let slide = slide([study, &series, &instance], TILES, is_encapsulated)?;
    assert_eq!(association.store(1, WHOLE_SLIDE, &instance, &slide).await?, 0);
    association.release().await?;

    let frames = format!("/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames");
    let first = cost(&program, &frames, (1..=ASKED).map(|_| 1)).await?;
    let anywhere = cost(&program, &frames, (1..=ASKED).map(|n| n * (TILES / ASKED))).await?;
    // What the clock of the system does not tell apart is the same.
    let ticks = Duration::from_millis(100);
    assert!(anywhere < first * 2 + ticks, "{anywhere:?} for any frame, {first:?} for the first");
    let web = Web::new(program.http);
    let behind =
        web.get(&format!("{frames}/{}", TILES + 1), "application/octet-stream; transfer-syntax=*").await?;
    assert_eq!(behind.status.as_u16(), 404, "{behind:?}");
    assert_small(&program)
}

#[tokio::test]
async fn gives_any_of_a_hundred_thousand_frames_at_the_price_of_the_first() -> Result<()> {
    assert_frames_cost_the_same("2.25.8201", EXPLICIT_LITTLE, false).await
}

#[tokio::test]
async fn gives_any_of_a_hundred_thousand_fragments_at_the_price_of_the_first() -> Result<()> {
    assert_frames_cost_the_same("2.25.8202", ENCAPSULATED_UNCOMPRESSED, true).await
}

/// Sends one multi-frame image of so many frames; gives the status.
async fn send(server: SocketAddr, number: u16, frames: u16) -> Result<u16> {
    let study = format!("2.25.8100{number}");
    let instance = format!("{study}.1.1");
    let proposal = Proposal {
        id: 1,
        abstract_syntax: SECONDARY_CAPTURE,
        transfer_syntaxes: &[ENCAPSULATED_UNCOMPRESSED],
    };
    let mut association = Association::request(server, "BIG", &[proposal]).await?;
    association.begin_store(1, SECONDARY_CAPTURE, &instance).await?;
    association.data(1, &header(&study, &format!("{study}.1"), &instance, frames), false).await?;
    for number in 1..=frames {
        association.data(1, &fragment(number)?, false).await?;
    }
    association.data(1, &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0], true).await?;
    let status = association.status().await?;
    association.release().await?;
    Ok(status)
}

/// Ten senders of large objects at once. What they hold does not depend on how large those are: 128 MiB each here,
/// and as many MiB as `MEMORY_MIB_EACH` says where there is the disk for it.
#[tokio::test(flavor = "multi_thread")]
async fn ten_large_objects_at_once_stay_in_half_a_gibibyte() -> Result<()> {
    let each: u16 = env::var("MEMORY_MIB_EACH").ok().map(|text| text.parse()).transpose()?.unwrap_or(128);
    let folder = TempDir::new()?;
    let program = Program::start(&folder.path().join("data"), &[]).await?;
    let senders: Vec<_> = (0..10).map(|number| tokio::spawn(send(program.dimse, number, each / 8))).collect();
    for sender in senders {
        assert_eq!(sender.await??, 0);
    }
    let peak = program.peak_memory()?;
    println!("{} MiB at the peak with ten senders of {each} MiB each", peak >> 20);
    assert!(peak < 512 << 20, "{} MiB at the peak, 512 MiB is the end", peak >> 20);
    Ok(())
}

/// Readers that ask for much and take nothing of it must not use up what others are served with.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_take_nothing_hold_back_nobody() -> Result<()> {
    let folder = TempDir::new()?;
    let program = Program::start(&folder.path().join("data"), &[]).await?;
    assert_eq!(send(program.dimse, 1, 6).await?, 0);
    let slice = ct_of_size(NGUYEN, 1, 64).remove(0);
    let mut association = Association::for_ct(program.dimse, "CT_1").await?;
    assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
    let study = "2.25.81001";
    let paths = [
        format!("/dicom-web/studies/{study}"),
        format!("/dicom-web/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1,2,3,4"),
    ];
    let mut stuck = Vec::new();
    for number in 0..40 {
        let mut stream = connect(program.http).await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: multipart/related; transfer-syntax=*\r\n\r\n",
            paths[number % 2],
            program.http
        );
        stream.write_all(request.as_bytes()).await?;
        // Its first bytes have come: it is being served.
        stream.read_u8().await?;
        stuck.push(stream);
    }
    let web = Web::new(program.http);
    let others = async {
        let kept = stored_file(&web, &slice.study, &slice.series, &slice.sop_instance).await?;
        assert!(data_set_of(&kept)? == slice.data_set);
        let other = ct_of_size(MUELLER, 1, 64).remove(0);
        assert_eq!(association.store(1, CT_IMAGE, &other.sop_instance, &other.data_set).await?, 0);
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(20), others).await.context("others are held back")??;
    assert_small(&program)
}

fn assert_small(program: &Program) -> Result<()> {
    let peak = program.peak_memory()?;
    assert!(peak < LIMIT, "{} MiB at the peak, {} MiB is the end", peak >> 20, LIMIT >> 20);
    Ok(())
}

/// A peer may cut its data set into as many PDVs as it likes (PS3.8 §9.3.5); none may cost more than its byte.
#[tokio::test]
async fn takes_two_hundred_thousand_fragments_of_one_byte() -> Result<()> {
    let folder = TempDir::new()?;
    let program = Program::start(&folder.path().join("data"), &[]).await?;
    let slice = ct_of_size(NGUYEN, 1, 320).remove(0);
    assert!(slice.data_set.len() > 200_000);
    let mut association = Association::for_ct(program.dimse, "CT_1").await?;
    association.begin_store(1, CT_IMAGE, &slice.sop_instance).await?;
    let (last, bytes) = slice.data_set.split_last().context("a data set")?;
    for some in bytes.chunks(2000) {
        let pdvs = some.iter().map(|byte| pdv(1, 0b00, &[*byte])).collect::<Result<Vec<_>>>()?;
        association.send(&p_data(&pdvs)?).await?;
    }
    association.send(&p_data(&[pdv(1, 0b10, &[*last])?])?).await?;
    assert_eq!(association.status().await?, 0);
    association.release().await?;
    let web = Web::new(program.http);
    let kept = stored_file(&web, &slice.study, &slice.series, &slice.sop_instance).await?;
    assert!(data_set_of(&kept)? == slice.data_set);
    assert_small(&program)
}
