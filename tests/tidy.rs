//! The invariants of the house, as tests: they read manifests and sources, and run nothing of them.

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/sources.rs"]
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What git keeps, and what was built or fetched.
const NOT_OURS: [&str; 6] = [".git", "target", "node_modules", "dist", "filmless-data", ".venv"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Every text file of the repository, as (path from the top, text).
fn files() -> Vec<(String, String)> {
    let top = top();
    let mut found = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folder can be read") {
            let path = entry.expect("entry can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let relative =
                    path.strip_prefix(&top).expect("below the top").to_string_lossy().replace('\\', "/");
                found.push((relative, text));
            }
        }
    }
    assert!(found.len() > 30, "only {} files found below {}", found.len(), top.display());
    found
}

#[track_caller]
fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n  {}", faults.len(), faults.join("\n  "));
}

#[test]
fn every_source_keeps_the_rules_of_the_house() {
    assert_none(files().iter().flat_map(|(path, text)| sources::faults(path, text)).collect());
}

#[test]
fn every_crate_follows_the_arrows() {
    let members: Vec<_> = files().into_iter().filter(|(path, _)| path.ends_with("/Cargo.toml")).collect();
    assert!(members.len() >= 7, "only {} members", members.len());
    assert_none(
        members
            .iter()
            .filter(|(path, _)| !path.contains("/fuzz/"))
            .flat_map(|(_, text)| manifests::faults(text))
            .collect(),
    );
}

#[test]
fn the_program_alone_has_a_main() {
    // What measures is not shipped.
    let is_shipped = |path: &str| !path.contains("/benches/") && !path.contains("/examples/");
    let mains: Vec<String> = files()
        .into_iter()
        .filter(|(path, _)| is_shipped(path))
        .filter(|(path, text)| path.ends_with(".rs") && code::code_of(text).contains("fn main("))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(mains, ["server/src/main.rs"]);
}

#[test]
fn every_border_runs_around_a_module() {
    let files = files();
    let is_there = |folder: &&str| {
        let is_planned = folder.starts_with("his/");
        let roots = [format!("{folder}.rs"), format!("{folder}/lib.rs")];
        is_planned || files.iter().any(|(path, _)| roots.contains(path))
    };
    assert_none(sources::bounded().filter(|folder| !is_there(folder)).map(str::to_owned).collect());
}

#[test]
fn every_crate_that_is_shipped_may_be() {
    let version = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(top())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata gives JSON");
    assert!(metadata["packages"].as_array().is_some_and(|packages| packages.len() > 100));
    assert_none(licences::faults(&metadata));
}
