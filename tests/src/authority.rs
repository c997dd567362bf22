//! A CA of a test, made by OpenSSL: what it signs is judged by whoever shall believe it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use tokio::process::Command;

use crate::tools::run;

const LIMIT: Duration = Duration::from_secs(60);

const SETTINGS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = NAME of the tests
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[here]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
[elsewhere]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:elsewhere.example
";

/// A certificate authority in a folder of its own.
pub struct Authority {
    folder: PathBuf,
}

/// A certificate and its key, PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// As DCMTK's programs take it: with the CA that they shall believe.
    pub fn dcmtk(&self, believes: &Authority) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (key, certificate) = (text(&self.key), text(&self.certificate));
        vec!["+tls".to_owned(), key, certificate, "+cf".to_owned(), text(&believes.certificate())]
    }
}

impl Authority {
    pub async fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        // Two authorities of one name would be mistaken for each other.
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::write(folder.join("settings"), SETTINGS.replace("NAME", &name))?;
        let authority = Self { folder };
        let of_curves = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let options = ["req", "-x509", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-extensions", "ca"];
        authority
            .openssl(&[&options[..], &of_curves, &["-config", "settings", "-days", "30"]].concat())
            .await?;
        Ok(authority)
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for loopback, of a key of RSA.
    pub async fn issue(&self, name: &str) -> Result<Certificate> {
        self.issue_as(name, "here", "2").await
    }

    /// One that has expired yesterday.
    pub async fn issue_expired(&self, name: &str) -> Result<Certificate> {
        self.issue_as(name, "here", "-1").await
    }

    /// One for another host.
    pub async fn issue_elsewhere(&self, name: &str) -> Result<Certificate> {
        self.issue_as(name, "elsewhere", "2").await
    }

    async fn issue_as(&self, name: &str, extensions: &str, days: &str) -> Result<Certificate> {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let (subject, certificate) = (format!("/CN={name}"), format!("{name}.pem"));
        let ask = ["req", "-new", "-nodes", "-newkey", "rsa:2048", "-config", "settings"];
        let of = ["-keyout", &key, "-out", &request, "-subj", &subject];
        self.openssl(&[&ask[..], &of].concat()).await?;
        let sign =
            ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "settings"];
        let of = ["-in", &request, "-out", &certificate, "-extensions", extensions, "-days", days];
        self.openssl(&[&sign[..], &of].concat()).await?;
        Ok(Certificate { certificate: self.folder.join(certificate), key: self.folder.join(key) })
    }

    /// Its list of what it has revoked, with this one on it.
    pub async fn revoke(&self, certificate: &Certificate) -> Result<PathBuf> {
        let settings = "[ca]\ndefault_ca = all\n[all]\ndatabase = index\ncrlnumber = crl.number\n\
                        default_md = sha256\ndefault_crl_days = 30\n";
        fs::write(self.folder.join("ca.settings"), settings)?;
        fs::write(self.folder.join("index"), "")?;
        fs::write(self.folder.join("crl.number"), "01\n")?;
        let signing = ["ca", "-config", "ca.settings", "-cert", "ca.pem", "-keyfile", "ca.key"];
        let revoked = certificate.certificate.to_string_lossy();
        self.openssl(&[&signing[..], &["-revoke", &revoked]].concat()).await?;
        self.openssl(&[&signing[..], &["-gencrl", "-out", "crl.pem"]].concat()).await?;
        Ok(self.folder.join("crl.pem"))
    }

    /// SHA-256 of a certificate, as OpenSSL prints it.
    pub async fn fingerprint(&self, of: &Certificate) -> Result<String> {
        let path = of.certificate.to_string_lossy();
        let printed = self.openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in", &path]).await?;
        Ok(printed.trim().rsplit('=').next().unwrap_or_default().to_owned())
    }

    async fn openssl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("openssl");
        Ok(run(command.args(arguments).current_dir(&self.folder), LIMIT).await?.well()?.stdout)
    }
}
