//! The viewer in a real browser: a study found, opened, windowed and scrolled.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::{
    Browser, Pacs,
    corpus::{MUELLER, NGUYEN, ct_of_size, us_multiframe},
};

/// A walk with everything that holds in any language and on any screen.
async fn read(browser: Browser) -> Result<Value> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct_of_size(NGUYEN, 6, 256)).await?;
    pacs.hold(&[us_multiframe(MUELLER, 3)]).await?;
    let folder = pacs.scratch("screenshots")?;
    let seen = browser.read(pacs.http(), "nguyen", &folder).await?;

    assert_eq!(seen["problems"], json!({"errors": [], "elsewhere": [], "failed": []}), "{seen}");
    assert_eq!(seen["list"]["all"], 2, "{seen}");
    assert_eq!(seen["list"]["found"].as_array().map(Vec::len), Some(1), "{seen}");
    assert_eq!(seen["list"]["banner"], 1, "a trial says that it is one");
    assert_eq!(seen["list"]["overflows"], false, "the list is wider than the screen");
    assert_eq!(seen["study"]["overflows"], false, "the study is wider than the screen");
    assert!(text(&seen["study"]["patient"])?.contains("NGUYỄN"), "{seen}");
    assert_eq!(seen["study"]["last"], 5, "six slices");
    assert_ne!(seen["study"]["window"]["before"], seen["study"]["window"]["after"]);

    let pictures = &seen["study"]["pictures"];
    let greys = pictures["first"]["greys"].as_u64().context("no picture")?;
    assert!(greys > 50, "{greys} greys are no CT slice");
    assert_ne!(pictures["first"]["sum"], pictures["windowed"]["sum"], "the window changes the picture");
    assert_ne!(pictures["windowed"]["sum"], pictures["second"]["sum"], "the next slice is another picture");
    for name in ["list.png", "found.png", "study.png", "last.png"] {
        assert!(fs::metadata(folder.join(name))?.len() > 1000, "{name} is empty");
    }
    Ok(seen)
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

#[tokio::test]
async fn is_read_in_vietnamese_on_a_workstation() -> Result<()> {
    let seen = read(Browser { language: "vi", width: 1600, height: 1000 }).await?;
    assert!(!text(&seen["list"]["heading"])?.contains("studies"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn is_read_in_english_on_a_laptop() -> Result<()> {
    let seen = read(Browser { language: "en", width: 1280, height: 720 }).await?;
    assert!(text(&seen["list"]["heading"])?.contains("studies"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn is_read_in_vietnamese_on_a_phone() -> Result<()> {
    read(Browser { language: "vi", width: 390, height: 844 }).await?;
    Ok(())
}
