//! What the manifests promise: which crate may depend on which.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// What each crate may depend on of the house, itself left out. `viewer` holds static files and knows nobody.
const ARROWS: [(&str, &[&str]); 9] = [
    ("dicom-store", &[]),
    ("pixel", &["dicom-store"]),
    ("worker", &["dicom-store", "pixel"]),
    ("dicom-net", &["dicom-store", "worker"]),
    ("wado", &["dicom-store", "worker"]),
    ("his", &["dicom-store", "worker"]),
    ("viewer", &[]),
    ("filmless", &["dicom-store", "worker", "dicom-net", "wado", "his", "viewer"]),
    ("tests", &["dicom-store", "pixel", "worker", "dicom-net", "wado", "his", "viewer", "filmless"]),
];

/// What a crate must not name, dev-dependencies included: (crates, dependency).
const FORBIDDEN: [(&[&str], &str); 10] = [
    (&["dicom-store"], "axum"),
    (&["dicom-store"], "dicom-ul"),
    (&["dicom-store"], "rayon"),
    (&["pixel", "worker", "dicom-net", "wado", "his", "viewer"], "sqlx"),
    (&["pixel", "worker", "dicom-net", "wado", "his", "viewer"], "object_store"),
    (&["dicom-net", "worker", "pixel"], "axum"),
    (&["wado", "worker", "pixel"], "dicom-ul"),
    // Pixels are computed, and nothing is waited for meanwhile.
    (&["pixel"], "tokio"),
    // Files of settings are read by `server`; errors are typed below it.
    (&["dicom-store", "pixel", "worker", "dicom-net", "wado", "his", "viewer"], "toml"),
    (&["dicom-store", "pixel", "worker", "dicom-net", "wado", "his", "viewer"], "anyhow"),
];

/// Everything that is wrong with the manifest of a member.
pub(crate) fn faults(manifest: &str) -> Vec<String> {
    let table: Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("cannot be read: {error}")],
    };
    let name =
        table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or("");
    let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| *member == name) else {
        return vec![format!("{name} has no place among the arrows of the house")];
    };
    let mut faults = Vec::new();
    let dependencies = dependencies_of(&table);
    for (dependency, _) in &dependencies {
        let is_of_the_house = ARROWS.iter().any(|(member, _)| member == dependency);
        if is_of_the_house && !allowed.contains(&dependency.as_str()) && dependency != name {
            faults.push(format!("{name} must not depend on {dependency}"));
        }
        if FORBIDDEN.iter().any(|(members, what)| members.contains(&name) && what == dependency) {
            faults.push(format!("{name} must not name {dependency}"));
        }
    }
    for (dependency, entry) in &dependencies {
        if entry.get("workspace").and_then(Value::as_bool) != Some(true) {
            faults.push(format!("{name} sets the version of {dependency} itself, not by the workspace"));
        }
    }
    if table.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true) {
        faults.push(format!("{name} does not take the lints of the workspace"));
    }
    faults
}

/// Dependencies of all kinds, under the name of their package, once each.
fn dependencies_of(table: &Table) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut tables = vec![table];
    if let Some(targets) = table.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let entries =
        tables.iter().flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()));
    let mut seen = BTreeSet::new();
    for (key, entry) in entries.flatten() {
        let name = entry.get("package").and_then(Value::as_str).unwrap_or(key);
        if seen.insert((name.to_owned(), entry.to_string())) {
            all.push((name.to_owned(), entry.clone()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::faults;

    fn manifest(name: &str, dependencies: &str) -> String {
        format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{dependencies}")
    }

    #[test]
    fn accepts_a_crate_that_follows_the_arrows() {
        let text = manifest("wado", "[dependencies]\ndicom-store.workspace = true\naxum.workspace = true");
        assert!(faults(&text).is_empty());
    }

    #[test]
    fn refuses_an_arrow_that_points_up_or_sideways() {
        let up = manifest("dicom-store", "[dependencies]\nworker.workspace = true");
        assert_eq!(faults(&up), ["dicom-store must not depend on worker"]);
        let sideways = manifest("wado", "[dev-dependencies]\ndicom-net.workspace = true");
        assert_eq!(faults(&sideways), ["wado must not depend on dicom-net"]);
        let hidden = manifest(
            "wado",
            "[target.'cfg(unix)'.dependencies]\nnet = { workspace = true, package = \"dicom-net\" }",
        );
        assert_eq!(faults(&hidden), ["wado must not depend on dicom-net"]);
    }

    #[test]
    fn refuses_the_web_the_network_and_the_pool_in_the_store() {
        let text = manifest(
            "dicom-store",
            "[dependencies]\naxum.workspace = true\nrayon = { workspace = true }\n[build-dependencies]\ndicom-ul.workspace = true",
        );
        assert_eq!(
            faults(&text),
            [
                "dicom-store must not name axum",
                "dicom-store must not name rayon",
                "dicom-store must not name dicom-ul"
            ]
        );
    }

    #[test]
    fn refuses_a_version_of_its_own_an_unknown_crate_and_lints_left_out() {
        assert_eq!(
            faults(&manifest("wado", "[dependencies]\nbytes = \"1\"")),
            ["wado sets the version of bytes itself, not by the workspace"]
        );
        assert_eq!(faults(&manifest("utils", "")), ["utils has no place among the arrows of the house"]);
        assert_eq!(faults("[package]\nname = \"wado\""), ["wado does not take the lints of the workspace"]);
    }
}
