//! Orthanc as a DICOMweb client: it stores, searches and retrieves here.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs, Web,
    corpus::{NGUYEN, ct, us_multiframe},
    program::free_address,
    wait::until,
};
use tokio::process::{Child, Command};

const START: Duration = Duration::from_secs(60);

/// An Orthanc that knows one server, `filmless`.
struct Orthanc {
    web: Web,
    _child: Child,
}

impl Orthanc {
    async fn start(folder: &Path, filmless: SocketAddr) -> Result<Self> {
        let address = free_address()?;
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
        Ok(Self { web, _child: child })
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
