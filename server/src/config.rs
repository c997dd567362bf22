//! The settings: the sum of the crates' own, from `filmless.toml`, the environment and the flags.

mod amazon;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use dicom_store::model::AeTitle;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use wado::{StowDestination, Webhooks};
use worker::rules::Action;
use worker::{CpuPool, Destination};

use crate::cli::Flags;
use crate::http::{Tls, TlsFiles};

const FILE: &str = "filmless.toml";
const PREFIX: &str = "FILMLESS_";

/// Every setting with its default: `filmless check-config` prints it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Trial without a sign-in, on loopback addresses only.
    pub open: bool,
    /// What is done with studies that have come. Default nothing.
    pub rules: Vec<worker::Rule>,
    pub store: dicom_store::Config,
    pub dimse: dicom_net::Config,
    pub http: Http,
    pub web: wado::Config,
    pub worker: worker::Config,
    pub log: Log,
}

/// Table `[http]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    /// Default `127.0.0.1:8080`. Another address than loopback needs `tls` or `behind-proxy`.
    pub listen: SocketAddr,
    /// A proxy in front adds TLS and tells the outside address by `Forwarded` or `X-Forwarded-*`.
    pub behind_proxy: bool,
    /// Connections at the same time. More wait to be accepted. Default 1024, fewer where the limit of open files
    /// leaves no room for them.
    pub max_connections: usize,
    /// Seconds without any progress after which a request whose body does not come is answered 408, and a
    /// connection that does not take its answer is closed. Default 60.
    pub stall_s: u64,
    /// Seconds from being told to stop to the end of the process, at most. Associations and requests have three
    /// quarters of it. Default 30.
    pub drain_s: u64,
    /// Certificate and key of HTTPS, with which HTTP/2 is spoken as well.
    pub tls: TlsFiles,
}

impl Http {
    /// How long a client may keep a request waiting.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_s.max(1))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            behind_proxy: false,
            max_connections: 1024,
            stall_s: 60,
            drain_s: 30,
            tls: TlsFiles::default(),
        }
    }
}

/// Table `[log]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, also by module: `info,dicom_net=debug`. Default `info`.
    /// The decoder of JPEG 2000 logs each frame; it is heard when it is named: `info,jpeg2k=warn`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// An object a line, for programs.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Config {
    /// From the file, then `FILMLESS_TABLE__KEY` of the environment, then the flags; checked.
    ///
    /// # Errors
    /// Names the file, the variable or the flag that is wrong, and how.
    pub fn load(flags: &Flags, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut table = read_file(flags.config.as_deref())?;
        let environment: Vec<_> = environment.collect();
        for (name, value) in &environment {
            set_variable(&mut table, name, value)?;
        }
        let mut config: Self = Value::Table(table).try_into().context("settings")?;
        amazon::fill(&mut config.store.s3, &environment);
        config.apply(flags)?;
        config.check()?;
        Ok(config)
    }

    fn apply(&mut self, flags: &Flags) -> anyhow::Result<()> {
        self.open |= flags.open;
        self.http.behind_proxy |= flags.behind_proxy;
        self.http.listen = flags.http.unwrap_or(self.http.listen);
        if let Some(data) = &flags.data {
            self.store.data.clone_from(data);
        }
        if let Some(index) = &flags.index {
            self.store.index = index.as_str().into();
        }
        if let Some(objects) = &flags.objects {
            self.store.objects.clone_from(objects);
        }
        if let Some(certificate) = &flags.tls_certificate {
            self.http.tls.certificate.clone_from(certificate);
        }
        if let Some(key) = &flags.tls_key {
            self.http.tls.key.clone_from(key);
        }
        if let Some(title) = &flags.ae_title {
            self.dimse.ae_title = title.parse().context("--ae-title")?;
        }
        // The default listens everywhere, which a trial must not; an address that was given is checked instead.
        let is_default = self.dimse.listen == dicom_net::Config::default().listen;
        self.dimse.listen = match flags.dimse {
            Some(given) => given,
            None if self.open && is_default => SocketAddr::from(([127, 0, 0, 1], self.dimse.listen.port())),
            None => self.dimse.listen,
        };
        self.apply_tls(flags);
        for peer in &flags.peer {
            self.dimse.peers.push(peer.parse().with_context(|| format!("--peer {peer}"))?);
        }
        // Decided here, where the addresses are looked at, and nowhere else.
        self.dimse.open = self.open;
        self.web.open = self.open;
        self.web.behind_proxy = self.http.behind_proxy;
        Ok(())
    }

    fn apply_tls(&mut self, flags: &Flags) {
        let tls = &mut self.dimse.tls;
        let files = [
            (&mut tls.certificate, &flags.dimse_tls_cert),
            (&mut tls.key, &flags.dimse_tls_key),
            (&mut tls.ca, &flags.dimse_tls_ca),
        ];
        for (setting, flag) in files {
            if flag.is_some() {
                setting.clone_from(flag);
            }
        }
        // As the listener in clear text, a trial's stays on this machine.
        let is_default = tls.listen == dicom_net::Tls::default().listen;
        tls.listen = match flags.dimse_tls {
            Some(given) => given,
            None if self.open && is_default => SocketAddr::from(([127, 0, 0, 1], tls.listen.port())),
            None => tls.listen,
        };
    }

    /// The STOW-RS services that can be sent to; `pool`: where instances are recoded for them.
    ///
    /// # Errors
    /// As [`Config::check_destinations`].
    pub(crate) fn destinations(&self, pool: &CpuPool) -> anyhow::Result<Vec<Arc<dyn Destination>>> {
        let opened = self.web.destinations.iter().map(|service| {
            Ok(Arc::new(StowDestination::new(service, pool.clone())?) as Arc<dyn Destination>)
        });
        opened.collect()
    }

    /// What each part of the server asks of its settings, and of the files that they name: what `check-config` takes is
    /// not refused by `serve`. Nothing is made, and nobody is asked.
    ///
    /// # Errors
    /// Names the setting or the file that cannot be, and why.
    pub(crate) fn check_parts(&self) -> anyhow::Result<()> {
        self.store.check().context("store")?;
        Tls::open(&self.http.tls)?;
        self.dimse.check().context("dimse")?;
        self.check_destinations()?;
        self.hooks().map(drop)
    }

    /// Whether all that can be sent to has a name of its own, and the files that it needs.
    ///
    /// # Errors
    /// Names the service that cannot be, and why.
    fn check_destinations(&self) -> anyhow::Result<()> {
        let mut names: BTreeSet<&AeTitle> = self.dimse.peers.iter().map(|peer| &peer.ae_title).collect();
        for service in &self.web.destinations {
            let is_new = names.insert(&service.name);
            ensure!(
                is_new,
                "web.destinations: a peer or another destination is named {} already",
                service.name
            );
            service.check()?;
        }
        Ok(())
    }

    /// The programs that can be told. Reads the files that they name.
    ///
    /// # Errors
    /// Names the program that cannot be, or the rule that names none.
    pub(crate) fn hooks(&self) -> anyhow::Result<Webhooks> {
        let hooks = Webhooks::new(&self.web.hooks)?;
        for rule in &self.rules {
            for action in &rule.then {
                if let Action::Webhook(hook) = action {
                    ensure!(hooks.has(&hook.to), "rule {}: web.hooks has no {}", rule.name, hook.to);
                }
            }
        }
        Ok(hooks)
    }

    fn check(&self) -> anyhow::Result<()> {
        let tls = &self.dimse.tls;
        let tls_listen = tls.is_accepting().then_some(("dimse.tls", tls.listen));
        let listening = [("http", self.http.listen), ("dimse", self.dimse.listen)];
        for (name, address) in listening.into_iter().chain(tls_listen) {
            ensure!(
                !self.open || address.ip().is_loopback(),
                "--open lets everybody in without a sign-in and is for loopback addresses only; {name} listens on {address}"
            );
        }
        for peer in &self.dimse.peers {
            peer.check().with_context(|| format!("peer {}", peer.ae_title))?;
        }
        self.http.tls.check()?;
        ensure!(
            self.http.listen.ip().is_loopback() || self.http.behind_proxy || self.http.tls.is_set(),
            "http listens on {}, where passwords and images would pass in clear text; give it a certificate \
             (--tls-certificate, --tls-key), or put a proxy with TLS in front and say --behind-proxy",
            self.http.listen
        );
        Ok(())
    }
}

fn read_file(named: Option<&Path>) -> anyhow::Result<Table> {
    let path = match named {
        Some(path) => path.to_owned(),
        None if Path::new(FILE).exists() => PathBuf::from(FILE),
        None => return Ok(Table::new()),
    };
    let text = std::fs::read_to_string(&path).with_context(|| format!("settings {}", path.display()))?;
    text.parse().with_context(|| format!("settings {}", path.display()))
}

/// `FILMLESS_STORE__MAX_INSTANCE_MIB=4096` is `max-instance-mib = 4096` of table `[store]`, and
/// `FILMLESS_STORE__S3__REGION` is `region` of `[store.s3]`.
fn set_variable(table: &mut Table, name: &str, value: &str) -> anyhow::Result<()> {
    let Some((path, key)) = name.strip_prefix(PREFIX).and_then(|path| path.rsplit_once("__")) else {
        return Ok(());
    };
    let spell = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let mut section = table;
    for part in path.split("__") {
        let inner = section.entry(spell(part)).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else { bail!("{name}: there is no such table of settings") };
        section = inner;
    }
    // What is no TOML value by itself is meant as text.
    let parsed =
        format!("value = {value}").parse::<Table>().ok().and_then(|mut parsed| parsed.remove("value"));
    section.insert(spell(key), parsed.unwrap_or_else(|| Value::String(value.to_owned())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: Flags, environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&flags, environment)
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "[store]\ndata = \"/file\"\nindex = \"sqlite:///file\"\nreserve-mib = 1\n")
            .unwrap();
        let flags =
            Flags { config: Some(file.path().to_owned()), data: Some("/flag".into()), ..Flags::default() };
        let variables = [("FILMLESS_STORE__DATA", "/env"), ("FILMLESS_STORE__INDEX", "sqlite:///env")];
        let store = load(flags, &variables).unwrap().store;
        assert_eq!(
            (store.data, store.index.expose(), store.reserve_mib),
            ("/flag".into(), "sqlite:///env", 1)
        );
    }

    #[test]
    fn a_variable_reaches_a_table_within_a_table() {
        let variables =
            [("FILMLESS_STORE__S3__REGION", "garage"), ("FILMLESS_STORE__S3__PATH_STYLE", "false")];
        let s3 = load(Flags::default(), &variables).unwrap().store.s3;
        assert_eq!((s3.region.as_str(), s3.path_style), ("garage", false));
    }

    #[test]
    fn a_trial_listens_on_loopback_and_nowhere_else() {
        let open = |http: Option<&str>, dimse: Option<&str>| {
            let address = |text: &str| text.parse().unwrap();
            load(
                Flags { open: true, http: http.map(address), dimse: dimse.map(address), ..Flags::default() },
                &[],
            )
        };
        assert_eq!(open(None, None).unwrap().dimse.listen, "127.0.0.1:11112".parse().unwrap());
        assert!(open(None, Some("0.0.0.0:11112")).unwrap_err().to_string().contains("loopback"));
        assert!(open(Some("192.168.1.2:80"), None).unwrap_err().to_string().contains("loopback"));
    }

    #[test]
    fn clear_text_stays_on_this_machine_unless_a_proxy_is_in_front() {
        let flags =
            |behind_proxy| Flags { http: "0.0.0.0:80".parse().ok(), behind_proxy, ..Flags::default() };
        assert!(load(flags(false), &[]).unwrap_err().to_string().contains("--behind-proxy"));
        assert!(load(flags(true), &[]).unwrap().web.behind_proxy);
        let tls = |key: Option<&str>| Flags {
            tls_certificate: Some("certificate.pem".into()),
            tls_key: key.map(Into::into),
            ..flags(false)
        };
        assert!(load(tls(Some("key.pem")), &[]).unwrap().http.tls.is_set());
        assert!(load(tls(None), &[]).unwrap_err().to_string().contains("--tls-key"));
    }

    #[test]
    fn a_setting_that_does_not_exist_is_named() {
        let error = load(Flags::default(), &[("FILMLESS_STORE__COLOUR", "red")]).unwrap_err();
        assert!(format!("{error:#}").contains("colour"), "{error:#}");
    }

    #[test]
    fn what_follows_from_other_settings_is_no_setting_itself() {
        for name in ["FILMLESS_WEB__OPEN", "FILMLESS_WEB__BEHIND_PROXY", "FILMLESS_DIMSE__OPEN"] {
            let error = format!("{:#}", load(Flags::default(), &[(name, "true")]).unwrap_err());
            assert!(error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn the_public_url_is_one() {
        let of = |url| load(Flags::default(), &[("FILMLESS_WEB__PUBLIC_URL", url)]);
        assert!(of("https://pacs.example.org/imaging").unwrap().web.public_url.is_some());
        let error = format!("{:#}", of("pacs.example.org").unwrap_err());
        assert!(error.contains("pacs.example.org is no absolute URL"), "{error}");
    }

    #[test]
    fn origins_are_those_of_pages_and_a_search_has_room_for_a_result() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |text: &str| {
            std::fs::write(&file, format!("[web]\n{text}\n")).unwrap();
            load(Flags { config: Some(file.path().to_owned()), ..Flags::default() }, &[])
        };
        let config = of("cors-origins = [\"HTTPS://Viewer.example.org/\"]\nmax-results = 1").unwrap();
        let origins: Vec<String> = config.web.cors_origins.into_iter().map(String::from).collect();
        assert_eq!(
            (origins, config.web.max_results.get()),
            (vec!["https://viewer.example.org".to_owned()], 1)
        );
        let error = format!("{:#}", of("cors-origins = [\"viewer.example.org\"]").unwrap_err());
        assert!(error.contains("viewer.example.org is no origin of pages"), "{error}");
        assert!(of("max-results = 0").is_err());
    }

    #[test]
    fn a_rule_that_tells_nobody_is_named() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = tempfile::NamedTempFile::new().unwrap();
        let rule = "[[rules]]\nname = \"tell\"\nthen = [{ webhook = { to = \"RIS\" } }]\n";
        let hook = "[[web.hooks]]\nname = \"RIS\"\nurl = \"https://ris/hook\"\n";
        let load_of = |text: &str| {
            std::fs::write(&file, text).unwrap();
            load(Flags { config: Some(file.path().to_owned()), ..Flags::default() }, &[]).unwrap()
        };
        let error = load_of(rule).hooks().err().unwrap().to_string();
        assert!(error.contains("rule tell") && error.contains("RIS"), "{error}");
        assert!(load_of(&format!("{rule}\n{hook}")).hooks().is_ok());
    }

    #[tokio::test]
    async fn what_serve_would_refuse_is_refused_before() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = tempfile::NamedTempFile::new().unwrap();
        let bucket = "objects = \"s3://b\"\n[store.s3]\n";
        for (table, text, named) in [
            ("store", "index = \"mysql://db/x\"", "index URL"),
            ("store", "index = \"postgres://db:port/x\"", "index URL"),
            ("store", "objects = \"ftp://host/x\"", "objects URL"),
            ("store", "objects = \"s3://\"", "objects URL"),
            ("store", &format!("{bucket}endpoint = \"garage:3900\""), "store.s3.endpoint"),
            ("store", &format!("{bucket}access-key-id = \"a\""), "secret-access-key-file"),
            ("store", "durability = \"remote\"", "store.durability"),
            ("[store.sources]", "ae-title = \"\"\ncharacter-set = \"vni\"", "store.sources"),
            ("[web.hooks]", "name = \"RIS\"\nurl = \"ris/hook\"", "web.hooks RIS"),
            ("[web.destinations]", "name = \"CLOUD\"\nurl = \"ftp://cloud\"", "web.destinations CLOUD"),
            ("http.tls", "certificate = \"no.pem\"\nkey = \"no.pem\"", "no.pem"),
        ] {
            let anywhere = "[http]\nlisten = \"127.0.0.1:0\"\n[dimse]\nlisten = \"127.0.0.1:0\"\n";
            std::fs::write(&file, format!("{anywhere}[{table}]\n{text}\n")).unwrap();
            let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
            let config = load(flags, &[]).unwrap();
            let checked = format!("{:#}", config.check_parts().unwrap_err());
            let served = format!("{:#}", crate::app::Listeners::bind(&config).await.err().unwrap());
            assert!(checked.contains(named), "{checked}");
            assert_eq!(checked, served);
        }
    }

    #[test]
    fn the_defaults_are_what_the_documents_say() {
        insta::assert_snapshot!(toml::to_string(&Config::default()).unwrap());
    }
}
