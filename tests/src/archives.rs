//! Archives that others wrote: Orthanc, and DCMTK's `dcmqrscp`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    authority::{Authority, Certificate},
    corpus::Synthetic,
    program::free_address,
    tools::run,
    wait::until,
    web::Web,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Starts a program that listens, and waits until it does; it ends with what is given back.
async fn listening(mut command: Command, address: SocketAddr, log: &Path) -> Result<Child> {
    let name = format!("{:?}", command.as_std().get_program());
    let log = fs::File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    let child = command.spawn().with_context(|| format!("start {name}: `make test` installs it"))?;
    until(&format!("{name} listens"), LIMIT, async || TcpStream::connect(address).await.ok()).await?;
    Ok(child)
}

/// Adds fields to an object, in place of those of the same names.
fn extend(object: &mut Value, fields: Value) {
    if let (Value::Object(object), Value::Object(fields)) = (object, fields) {
        object.extend(fields);
    }
}

/// Sends files with `storescu` to whoever listens there.
pub async fn store(address: SocketAddr, called: &str, files: &[PathBuf]) -> Result<()> {
    let folder = TempDir::new()?;
    let profile = folder.path().join("storescu.cfg");
    fs::write(&profile, SCU_PROFILE)?;
    for files in files.chunks(500) {
        let mut command = Command::new("storescu");
        command.args(["-aet", "CT1", "-aec", called, "-xf"]).arg(&profile).arg("Filmless");
        command.arg(address.ip().to_string()).arg(address.port().to_string()).args(files);
        run(&mut command, LIMIT).await?.well()?;
    }
    Ok(())
}

/// What `storescu` proposes: the classes of the tests, uncompressed.
const SCU_PROFILE: &str = "[[TransferSyntaxes]]\n[Native]\n\
    TransferSyntax1 = LittleEndianExplicit\nTransferSyntax2 = LittleEndianImplicit\n\
    [[PresentationContexts]]\n[Some]\nPresentationContext1 = CTImageStorage\\Native\n\
    PresentationContext2 = UltrasoundMultiframeImageStorage\\Native\n\
    PresentationContext3 = BasicTextSRStorage\\Native\n[[Profiles]]\n[Filmless]\nPresentationContexts = Some\n";

/// DCMTK's archive.
pub struct Dcmqrscp {
    _child: Child,
    pub address: SocketAddr,
    folder: TempDir,
}

impl Dcmqrscp {
    pub const TITLE: &'static str = "OLDPACS";

    /// One that can send to `FILMLESS` at this address.
    pub async fn start(filmless: SocketAddr) -> Result<Self> {
        let (folder, address) = (TempDir::new()?, free_address()?);
        let data = folder.path().join("data");
        fs::create_dir_all(&data)?;
        let config = folder.path().join("dcmqrscp.cfg");
        let text = format!(
            "NetworkTCPPort = {}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\n\
             filmless = (FILMLESS, {}, {})\nHostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\n\
             {} {} RW (2000, 1024mb) ANY\nAETable END\n",
            address.port(),
            filmless.ip(),
            filmless.port(),
            Self::TITLE,
            data.display()
        );
        fs::write(&config, text)?;
        let mut command = Command::new("dcmqrscp");
        command.arg("-c").arg(&config);
        let child = listening(command, address, &folder.path().join("log")).await?;
        Ok(Self { _child: child, address, folder })
    }

    /// As `filmless --peer` takes it.
    pub fn peer(&self) -> String {
        format!("{}={}", Self::TITLE, self.address)
    }

    pub async fn store(&self, files: &[PathBuf]) -> Result<()> {
        store(self.address, Self::TITLE, files).await
    }

    /// Removes the file of one instance, of which it goes on to tell; gives which.
    pub fn lose_one(&self) -> Result<PathBuf> {
        let files = fs::read_dir(self.folder.path().join("data"))?;
        let files = files.filter_map(|entry| Some(entry.ok()?.path()));
        let mut images: Vec<PathBuf> =
            files.filter(|path| path.file_name().is_some_and(|name| name != "index.dat")).collect();
        images.sort();
        let one = images.pop().context("it has no file")?;
        fs::remove_file(&one)?;
        Ok(one)
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Orthanc, with its REST API to be asked what it has.
pub struct Orthanc {
    child: Option<Child>,
    pub address: SocketAddr,
    http: SocketAddr,
    folder: TempDir,
}

impl Orthanc {
    pub const TITLE: &'static str = "ORTHANC";

    /// One that knows `FILMLESS` at this address.
    pub async fn start(filmless: SocketAddr) -> Result<Self> {
        let modality = json!(["FILMLESS", filmless.ip().to_string(), filmless.port()]);
        Self::start_with(free_address()?, json!({ "DicomModalities": { "filmless": modality } })).await
    }

    /// One with DICOMweb at this address, and further settings.
    pub async fn start_web(http: SocketAddr, settings: Value) -> Result<Self> {
        let mut web = json!({ "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"] });
        extend(&mut web, settings);
        Self::start_with(http, web).await
    }

    /// The same within TLS: whoever calls it has to show a certificate of that authority.
    pub async fn start_tls(
        filmless: SocketAddr,
        shown: &Certificate,
        believes: &Authority,
        calls_in_tls: bool,
    ) -> Result<Self> {
        let modality = json!({
            "AET": "FILMLESS", "Host": filmless.ip().to_string(), "Port": filmless.port(),
            "UseDicomTls": calls_in_tls,
        });
        let settings = json!({
            "DicomModalities": { "filmless": modality }, "DicomTlsEnabled": true,
            "DicomTlsCertificate": shown.certificate, "DicomTlsPrivateKey": shown.key,
            "DicomTlsTrustedCertificates": believes.certificate(), "DicomTlsRemoteCertificateRequired": true,
        });
        Self::start_with(free_address()?, settings).await
    }

    async fn start_with(http: SocketAddr, settings: Value) -> Result<Self> {
        let (folder, address) = (TempDir::new()?, free_address()?);
        let mut config = json!({
            "Name": "judge", "StorageDirectory": folder.path().join("data"),
            "IndexDirectory": folder.path().join("data"), "DicomAet": Self::TITLE, "DicomPort": address.port(),
            "HttpPort": http.port(), "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
            "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true, "DicomAlwaysAllowGet": true,
            "DicomAlwaysAllowMove": true, "DicomCheckModalityHost": false, "StorageCompression": false,
            "Plugins": [], "DicomAssociationCloseDelay": 0, "StableAge": 1,
        });
        extend(&mut config, settings);
        fs::write(folder.path().join("orthanc.json"), serde_json::to_vec_pretty(&config)?)?;
        let mut orthanc = Self { child: None, address, http, folder };
        orthanc.up().await?;
        Ok(orthanc)
    }

    /// Starts it (again) over what it has.
    pub async fn up(&mut self) -> Result<()> {
        // Debian puts it where only an administrator looks.
        let debian = Path::new("/usr/sbin/Orthanc");
        let mut command = Command::new(if debian.is_file() { debian } else { Path::new("Orthanc") });
        command.arg(self.folder.path().join("orthanc.json"));
        self.child = Some(listening(command, self.address, &self.folder.path().join("log")).await?);
        until("the API of Orthanc", LIMIT, async || TcpStream::connect(self.http).await.ok()).await?;
        Ok(())
    }

    /// Ends it at once.
    pub async fn down(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await.context("kill Orthanc"),
            None => Ok(()),
        }
    }

    pub fn peer(&self) -> String {
        format!("{}={}", Self::TITLE, self.address)
    }

    pub async fn store(&self, files: &[PathBuf]) -> Result<()> {
        store(self.address, Self::TITLE, files).await
    }

    /// SOP Instance UIDs of all that it has, sorted.
    pub async fn instances(&self) -> Result<Vec<String>> {
        let found = Web::new(self.http).json("/instances?expand").await?;
        let uid = |one: &Value| Some(one.pointer("/MainDicomTags/SOPInstanceUID")?.as_str()?.to_owned());
        let mut uids: Vec<String> = found.iter().filter_map(uid).collect();
        uids.sort();
        Ok(uids)
    }

    /// Has it query a peer of its own, which is us, and retrieve what it finds by C-MOVE to itself.
    pub async fn retrieve_by_move(&self, study: &str) -> Result<()> {
        let web = Web::new(self.http);
        let query = json!({"Level": "Study", "Query": {"StudyInstanceUID": study}});
        let answer = web.post_json("/modalities/filmless/query", &query).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        let id: Value = serde_json::from_slice(&answer.body)?;
        let id = id.get("ID").and_then(Value::as_str).context("no query")?;
        let answer = web
            .post_json(
                &format!("/queries/{id}/retrieve"),
                &json!({"TargetAet": Self::TITLE, "Synchronous": true}),
            )
            .await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        Ok(())
    }

    /// Its REST API, and its DICOMweb.
    pub fn web(&self) -> Web {
        Web::new(self.http)
    }

    /// A list of its REST API.
    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        Ok(serde_json::from_slice(&self.web().get(path, "*/*").await?.body)?)
    }

    /// Gives it instances by its REST API.
    pub async fn hold(&self, instances: &[Synthetic]) -> Result<()> {
        for instance in instances {
            let taken = self.web().post("/instances", "application/dicom", instance.file()).await?;
            ensure!(taken.status.is_success(), "{taken:?}");
        }
        Ok(())
    }

    /// Has it send everything that it has to us, by C-STORE.
    pub async fn send_all(&self) -> Result<()> {
        let all = self.list("/studies").await?;
        let answer = self.web().post_json("/modalities/filmless/store", &json!(all)).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        Ok(())
    }

    /// Has it send a C-ECHO to us.
    pub async fn echo(&self) -> Result<bool> {
        Ok(Web::new(self.http).post_json("/modalities/filmless/echo", &json!({})).await?.status.is_success())
    }
}
