//! Renditions for the web: a rule has them made, and who takes any transfer syntax gets them.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tests::{
    Modality, Program, Web,
    corpus::{NGUYEN, Synthetic, ct_of_size, write_all},
    wait::until,
};

const LIMIT: Duration = Duration::from_secs(60);
const ANY: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
const NATIVE: &str = "application/octet-stream";
const RPCL: &str = "1.2.840.10008.1.2.4.202";
const RULE: &str = "[worker]\ncomplete-after-s = 1\n\n[[rules]]\nname = \"web\"\nwhen = { modality = [\"CT\"] }\n\
                    then = [{ web-rendition = { at-least-kib = 1 } }]\n";

fn frame(of: &Synthetic) -> String {
    let Synthetic { study, series, sop_instance, .. } = of;
    format!("/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1")
}

/// The one part of an answer, and its media type.
async fn part(web: &Web, path: &str) -> Result<(String, Vec<u8>)> {
    let answer = web.get(path, ANY).await?;
    ensure!(answer.status.as_u16() == 200, "{answer:?}");
    let head = String::from_utf8_lossy(&answer.body[..answer.body.len().min(400)]).into_owned();
    let body = answer.parts()?.first().context("a part")?.to_vec();
    Ok((head, body))
}

#[tokio::test]
async fn whoever_takes_any_transfer_syntax_gets_the_frame_that_was_made_for_the_web() -> Result<()> {
    let folder = TempDir::new()?;
    let settings = folder.path().join("filmless.toml");
    fs::write(&settings, RULE)?;
    let options = ["--config", settings.to_str().context("a path in UTF-8")?];
    let program = Program::start(&folder.path().join("data"), &options).await?;
    let web = Web::new(program.http);
    let slices = ct_of_size(NGUYEN, 3, 128);
    let files = folder.path().join("files");
    fs::create_dir_all(&files)?;
    Modality::new(program.dimse, "CT1").store(&["-R"], &write_all(&slices, &files)?).await?.well()?;

    until("frames for the web", LIMIT, async || {
        for slice in &slices {
            let (head, _) = part(&web, &frame(slice)).await.ok()?;
            head.contains(RPCL).then_some(())?;
        }
        Some(())
    })
    .await?;
    for slice in &slices {
        let (_, made) = part(&web, &frame(slice)).await?;
        ensure!(made.starts_with(&[0xFF, 0x4F]) && made.len() < 128 * 128 * 2, "{} bytes", made.len());
        // Nothing else has become of the image: its own bytes are what they were.
        let native = web.get(&frame(slice), NATIVE).await?;
        ensure!(slice.data_set.ends_with(&native.body) && native.body.len() == 128 * 128 * 2, "{native:?}");
        let by_name = format!("{NATIVE}; transfer-syntax={RPCL}");
        let again = web.get(&frame(slice), &by_name).await?;
        ensure!(again.body == made, "the frame by its name is another one");
    }
    // A rendition is no instance: nothing is counted twice (PS3.4 Table C.3-1).
    let found = web.json("/dicom-web/studies").await?;
    ensure!(found[0]["00201208"]["Value"][0] == 3, "{found:?}");
    ensure!(web.json("/dicom-web/instances").await?.len() == 3);
    Ok(())
}
