//! Orthanc in DICOMweb: as a client it stores, searches and retrieves here; as a service it is sent to.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs, Web,
    corpus::{NGUYEN, ct, uids, us_multiframe, write_all},
    program::free_address,
    wait::until,
};
use tokio::process::{Child, Command};

const START: Duration = Duration::from_secs(60);
/// Retries come after 2, 4, 8 and 16 seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// An Orthanc that knows one server, `filmless`.
struct Orthanc {
    web: Web,
    child: Child,
}

impl Orthanc {
    async fn start(folder: &Path, filmless: SocketAddr) -> Result<Self> {
        Self::start_at(free_address()?, folder, filmless).await
    }

    async fn start_at(address: SocketAddr, folder: &Path, filmless: SocketAddr) -> Result<Self> {
        let plugins = ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"];
        let settings = json!({
            "StorageDirectory": folder, "IndexDirectory": folder, "HttpPort": address.port(),
            "HttpBindAddresses": ["127.0.0.1"], "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
            "DicomServerEnabled": false, "Plugins": plugins,
            "DicomWeb": { "Servers": { "filmless": {
                "Url": format!("http://{filmless}/dicom-web/"), "ChunkedTransfers": true,
                "HasWadoRsUniversalTransferSyntax": true,
            } } },
        });
        let path = folder.join("orthanc.json");
        fs::write(&path, settings.to_string())?;
        let child = Command::new("/usr/sbin/Orthanc")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("orthanc.log"))?)
            .kill_on_drop(true)
            .spawn()
            .context("no Orthanc: `make test` installs it")?;
        let web = Web::new(address);
        until("Orthanc answers", START, async || web.get("/system", "*/*").await.ok()).await?;
        Ok(Self { web, child })
    }

    async fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.web.post(path, "application/json", body.to_string().into()).await?;
        ensure!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).with_context(|| format!("{path} gave no JSON"))
    }

    async fn list(&self, path: &str) -> Result<Vec<String>> {
        Ok(serde_json::from_slice(&self.web.get(path, "*/*").await?.body)?)
    }
}

#[tokio::test]
async fn stores_finds_and_fetches_here() -> Result<()> {
    let pacs = Pacs::start().await?;
    let orthanc = Orthanc::start(&pacs.scratch("orthanc")?, pacs.http()).await?;
    let instances = [ct(NGUYEN, 4), vec![us_multiframe(NGUYEN, 3)]].concat();
    for instance in &instances {
        let taken = orthanc.web.post("/instances", "application/dicom", instance.file()).await?;
        ensure!(taken.status.is_success(), "{taken:?}");
    }
    let studies = orthanc.list("/studies").await?;
    assert_eq!(studies.len(), 1);
    let server = "/dicom-web/servers/filmless";

    orthanc.ask(&format!("{server}/stow"), &json!({ "Resources": studies, "Synchronous": true })).await?;
    let found = pacs.web().json("/dicom-web/instances?StudyInstanceUID=2.25.7001").await?;
    assert_eq!(found.len(), 5, "what Orthanc has stored");

    let query = json!({ "Uri": "/studies", "Arguments": { "PatientName": "nguyen*" } });
    let answer = orthanc.ask(&format!("{server}/qido"), &query).await?;
    assert_eq!(answer[0]["0020000D"]["Value"], "2.25.7001", "{answer}");
    assert_eq!(answer[0]["00100010"]["Value"], "NGUYỄN^VĂN ĐỨC", "{answer}");

    let gone = orthanc.web.delete(&format!("/studies/{}", studies[0])).await?;
    assert!(gone.status.is_success() && orthanc.list("/instances").await?.is_empty());
    let wanted = json!({ "Resources": [{ "Study": "2.25.7001" }], "Synchronous": true });
    orthanc.ask(&format!("{server}/retrieve"), &wanted).await?;
    assert_eq!(orthanc.list("/instances").await?.len(), 5, "what Orthanc has fetched");
    let tags = format!("/instances/{}/simplified-tags", orthanc.list("/instances").await?[0]);
    let tags: Value = serde_json::from_slice(&orthanc.web.get(&tags, "*/*").await?.body)?;
    assert_eq!(tags["PatientName"], "NGUYỄN^VĂN ĐỨC", "{tags}");
    Ok(())
}

#[tokio::test]
async fn a_rule_sends_to_a_service_of_stow_rs_until_all_of_it_is_there() -> Result<()> {
    const SLICES: u16 = 60;
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let settings = folder.path().join("filmless.toml");
    let text = format!(
        "[[rules]]\nname = \"on\"\nthen = [{{ route = {{ to = \"CLOUD\" }} }}]\n\
         [[web.destinations]]\nname = \"CLOUD\"\nurl = \"http://{address}/dicom-web\"\n"
    );
    fs::write(&settings, text)?;
    let pacs = Pacs::with(&["--config", &settings.to_string_lossy()]).await?;
    let study = [ct(NGUYEN, SLICES), vec![us_multiframe(NGUYEN, 3)]].concat();
    let files = write_all(&study, &pacs.scratch("from")?)?;
    pacs.modality("CT1").store(&["-R"], &files).await?.well()?;
    let delivery = async |is_right: fn(&Value) -> bool| {
        until("a delivery", LIMIT, async || {
            let rows = pacs.web().json("/api/v1/deliveries?study=2.25.7001").await.ok()?;
            rows.into_iter().find(is_right)
        })
        .await
    };
    // Nobody is there yet.
    let failing = delivery(|row| row["failed"] == 61).await?;
    assert!(failing["why"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{failing}");
    assert_eq!(failing["state"], "sending", "{failing}");

    let data = pacs.scratch("orthanc")?;
    let mut orthanc = Orthanc::start_at(address, &data, pacs.http()).await?;
    let done = delivery(|row| row["state"] == "done").await?;
    assert_eq!((&done["destination"], &done["delivered"]), (&json!("CLOUD"), &json!(61)), "{done}");
    let proof = done["instances"].as_object().context("no instances")?;
    assert!(proof.values().all(|state| state == "delivered"), "{proof:?}");
    let there = orthanc.web.json("/instances?expand").await?;
    let uid = |one: &Value| Some(one.pointer("/MainDicomTags/SOPInstanceUID")?.as_str()?.to_owned());
    assert_eq!(there.iter().filter_map(uid).collect::<BTreeSet<_>>(), uids(&study));
    orthanc.child.kill().await?;
    Ok(())
}
