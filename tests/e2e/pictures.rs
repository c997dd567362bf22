//! What the viewer shows in a real browser is what the server renders, whatever a data set does with its pixels.

use std::fs;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::json;
use tests::{
    Pacs,
    corpus::pydicom_files,
    pictures::{EDGE, Look, Picture, look},
};

/// How far a shade may be off, of 255.
const OFF: u64 = 2;
const MODALITY: u16 = 0x3000;
const VALUES_OF_INTEREST: u16 = 0x3010;
const HTJ2K: &str = "1.2.840.10008.1.2.4.201";

/// A ramp over the diagonal, of 12 bits.
fn ramp() -> Vec<u16> {
    (0..EDGE).flat_map(|row| (0..EDGE).map(move |column| (row + column) * 16)).collect()
}

/// The same of 8 bits.
fn shades() -> Vec<u8> {
    ramp().iter().map(|value| u8::try_from(value >> 4).unwrap_or(u8::MAX)).collect()
}

/// The same from −128 to 126, as bytes have it.
fn signed(name: &'static str) -> Picture {
    let pixels: Vec<u8> = shades().iter().map(|shade| shade ^ 0x80).collect();
    Picture::bytes(name, &pixels).number(0x0103, 1).window("0", "256")
}

fn colours() -> Vec<u8> {
    shades().iter().flat_map(|shade| [*shade, 255 - shade, 90]).collect()
}

fn full(picture: Picture) -> Picture {
    picture.window("2048", "4096")
}

/// Those that differ from a plain image in what their data set says of its samples.
fn greys() -> Vec<Picture> {
    let falling = |name, slope, intercept| Picture::grey(name, &ramp()).rescale(slope, intercept);
    let above: Vec<u16> =
        ramp().iter().zip(0..).map(|(value, at): (&u16, u16)| value | ((at % 16) << 12)).collect();
    let top: Vec<u16> = ramp().iter().map(|value| value << 4).collect();
    let curve: Vec<u16> = (0..4096).rev().collect();
    let bytes: Vec<u16> = (0..256).rev().collect();
    let padded: Vec<u16> =
        ramp().iter().zip(0..).map(|(value, at)| if at < 4096 { 4095 } else { *value }).collect();
    vec![
        full(Picture::grey("as usual", &ramp())),
        full(Picture::grey("other bits above those stored", &above)),
        full(Picture::grey("stored bits at the top", &top).number(0x0102, 15)),
        Picture::grey("table of 16 bits", &ramp()).table(VALUES_OF_INTEREST, 12, &curve),
        Picture::bytes("table of 256 entries", &shades()).table(VALUES_OF_INTEREST, 8, &bytes),
        full(Picture::grey("table of the modality", &ramp()).table(MODALITY, 16, &curve)),
        full(falling("falling scale", "-1", "4095")),
        falling("falling scale without a window", "-1", "4095"),
        falling("falling scale below 0", "-1", "0").window("-2048", "4096"),
        falling("falling scale of fractions", "-0.37", "11.5").window("-700", "1500"),
        Picture::grey("curve", &ramp()).window("2048", "3000").text(0x1056, "CS", "SIGMOID"),
        Picture::bytes("shades of a few", &shades().iter().map(|shade| 60 + shade / 4).collect::<Vec<_>>()),
        full(Picture::grey("padding", &padded).number(0x0120, 4095)),
        signed("signed bytes"),
        Picture::colours("colour difference", "YBR_FULL", &colours()),
    ]
}

/// The same in transfer syntaxes that browsers get wrong when they are left to themselves.
fn compressed() -> Vec<(Picture, &'static str)> {
    vec![
        (signed("signed bytes in JPEG Lossless"), "1.2.840.10008.1.2.4.70"),
        (signed("signed bytes in JPEG 2000"), "1.2.840.10008.1.2.4.90"),
        (signed("signed bytes in HTJ2K"), HTJ2K),
        (Picture::colours("colour difference in HTJ2K", "YBR_FULL", &colours()), HTJ2K),
    ]
}

/// The file of an instance in another transfer syntax, as an archive makes it.
async fn recoded(maker: &Pacs, picture: &Picture, syntax: &str) -> Result<Bytes> {
    let accept = format!("multipart/related; type=\"application/dicom\"; transfer-syntax={syntax}");
    let answer = maker.web().get(&picture.path(), &accept).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    answer.parts()?.into_iter().next().context("no file")
}

/// An archive with all of them, and where each is to be looked at.
async fn archive() -> Result<(Pacs, Vec<Look>)> {
    let (maker, pacs) = (Pacs::start().await?, Pacs::start().await?);
    let mut looks = Vec::new();
    let mut files = Vec::new();
    let beside = |picture: &Picture, rendered: &Picture, drag: Option<(i32, i32)>| Look {
        name: format!("{}{}", picture.name, if drag.is_some() { ", windowed" } else { "" }),
        study: picture.study(),
        rendered: format!("{}/rendered", rendered.path()),
        drag,
    };
    for (picture, number) in greys().into_iter().zip(0..) {
        let picture = picture.numbered(number);
        files.push(picture.file());
        looks.push(beside(&picture, &picture, None));
        if ["table of 16 bits", "falling scale", "curve"].contains(&picture.name) {
            looks.push(beside(&picture, &picture, Some((30, 20))));
        }
    }
    for ((picture, syntax), number) in compressed().into_iter().zip(100..) {
        let picture = picture.numbered(number);
        maker.web().store("/dicom-web/studies", &[picture.file()]).await?;
        files.push(recoded(&maker, &picture, syntax).await?);
        looks.push(beside(&picture, &picture, None));
    }
    // A shape says what an interpretation says otherwise: each looks like the other.
    let black = full(Picture::grey("lowest black by its shape", &ramp())).text(0x0004, "CS", "MONOCHROME1");
    let black = black.put(0x2050, 0x0020, "CS", b"IDENTITY".to_vec()).numbered(200);
    let white = full(Picture::grey("lowest white by its shape", &ramp()));
    let white = white.put(0x2050, 0x0020, "CS", b"INVERSE".to_vec()).numbered(201);
    let plain = full(Picture::grey("lowest black", &ramp())).numbered(202);
    let inverse =
        full(Picture::grey("lowest white", &ramp())).text(0x0004, "CS", "MONOCHROME1").numbered(203);
    files.extend([&black, &white, &plain, &inverse].map(Picture::file));
    looks.extend([
        beside(&black, &plain, None),
        beside(&white, &inverse, None),
        beside(&inverse, &inverse, None),
    ]);
    let extended = pydicom_files().await?.into_iter().find(|real| real.file.ends_with("JPGExtended.dcm"));
    let extended = extended.context("pydicom has no JPEG of 12 bits")?;
    files.push(fs::read(&extended.file)?.into());
    let path =
        format!("studies/{}/series/{}/instances/{}", extended.study, extended.series, extended.instance);
    looks.push(Look {
        name: "12 bits in JPEG".to_owned(),
        study: extended.study,
        rendered: format!("/dicom-web/{path}/rendered"),
        drag: None,
    });
    let answer = pacs.web().store("/dicom-web/studies", &files).await?;
    ensure!(answer.status.as_u16() == 200, "{answer:?}");
    Ok((pacs, looks))
}

async fn are_as_rendered(renderer: &str) -> Result<()> {
    let (pacs, looks) = archive().await?;
    let folder = pacs.scratch("screenshots")?;
    let seen = look(pacs.http(), renderer, &looks, &folder).await?;
    for Look { name, .. } in &looks {
        let picture = &seen[name];
        assert_eq!(picture["state"], "diagnostic", "{name}: {picture}");
        assert_eq!(picture["errors"], json!([]), "{name}: {picture}");
        let compared = picture["compared"].as_u64().context("nothing was compared")?;
        assert!(compared * 2 > picture["all"].as_u64().unwrap_or(u64::MAX), "{name}: {picture}");
        assert!(picture["worst"].as_u64().is_some_and(|worst| worst <= OFF), "{name}: {picture}");
    }
    Ok(())
}

#[tokio::test]
async fn are_what_the_server_renders_without_a_graphics_card() -> Result<()> {
    are_as_rendered("cpu").await
}

#[tokio::test]
async fn are_what_the_server_renders_with_a_graphics_card() -> Result<()> {
    are_as_rendered("gpu").await
}
