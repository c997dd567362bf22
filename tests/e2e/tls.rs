//! DICOM TLS (PS3.15 Annex B): OpenSSL, DCMTK and pynetdicom judge both sides of it.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::{
    Modality, Pacs,
    archives::Orthanc,
    authority::{Authority, Certificate},
    by_hand::connect,
    corpus::{MUELLER, NGUYEN, ct, uids, us_multiframe},
    modality::files_in,
    peers::pynetdicom,
    program::{filmless, free_address},
    receivers::storescp,
    wait::until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Child,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

const SOON: Duration = Duration::from_secs(30);

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Two authorities, a certificate of the server's, and a folder for more.
struct Security {
    folder: tempfile::TempDir,
    ours: Authority,
    other: Authority,
    server: Certificate,
}

impl Security {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ours = Authority::new(folder.path().join("ours")).await?;
        let other = Authority::new(folder.path().join("other")).await?;
        let server = ours.issue("server").await?;
        Ok(Self { folder, ours, other, server })
    }

    /// A server within TLS where peers have to show a certificate, with more settings.
    async fn pacs(&self, settings: &str) -> Result<Pacs> {
        let file = self.folder.path().join("filmless.toml");
        std::fs::write(&file, settings)?;
        let ca = self.ours.certificate();
        let (certificate, key) = (text(&self.server.certificate), text(&self.server.key));
        let options = ["--dimse-tls", "127.0.0.1:0", "--dimse-tls-cert", certificate, "--dimse-tls-key", key];
        Pacs::with(&[&options[..], &["--dimse-tls-ca", text(&ca), "--config", text(&file)]].concat()).await
    }

    /// A C-ECHO of pynetdicom: `{"status": …, "version": …, "cipher": …}` or `{"error": …}`.
    async fn echo(
        &self,
        pacs: &Pacs,
        shown: Option<&Certificate>,
        version: &str,
        cipher: &str,
    ) -> Result<Value> {
        let ca = self.ours.certificate();
        let (certificate, key) =
            shown.map_or(("-", "-"), |shown| (text(&shown.certificate), text(&shown.key)));
        pynetdicom(pacs.dimse_tls()?, "echo-tls", &[text(&ca), certificate, key, version, cipher]).await
    }
}

/// `storescp` within TLS.
async fn storescp_tls(into: &Path, port: u16, shown: &Certificate, believes: &Authority) -> Result<Child> {
    let options = [shown.dcmtk(believes), vec!["+B".to_owned(), "+xa".to_owned()]].concat();
    storescp(([127, 0, 0, 1], port).into(), &options, into).await
}

#[tokio::test]
async fn dcmtk_stores_and_pynetdicom_echoes_in_every_suite_of_the_profile() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("").await?;
    let client = security.ours.issue("client").await?;
    let modality = Modality::new(pacs.dimse_tls()?, "CT1");
    let shown = client.dcmtk(&security.ours);
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    modality.echo_with(&shown).await?.well()?;
    let slices = ct(NGUYEN, 2);
    let folder = pacs.scratch("sent")?;
    let files: Vec<_> = slices.iter().map(|slice| folder.join(&slice.sop_instance)).collect();
    for (slice, file) in slices.iter().zip(&files) {
        std::fs::write(file, slice.file())?;
    }
    modality.store(&shown, &files).await?.well()?;
    for slice in &slices {
        assert!(tests::pacs::data_set_of(&pacs.file_of(slice).await?)? == slice.data_set);
    }
    for (version, cipher, negotiated) in [
        ("1.3", "", "TLS_AES_256_GCM_SHA384"),
        ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("1.2", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ] {
        let seen = security.echo(&pacs, Some(&client), version, cipher).await?;
        let expected = json!({"status": 0, "version": format!("TLSv{version}"), "cipher": negotiated});
        assert_eq!(seen, expected);
    }
    Ok(())
}

#[tokio::test]
async fn whoever_lacks_a_good_certificate_or_a_good_version_is_not_heard() -> Result<()> {
    let security = Security::new().await?;
    let revoked = security.ours.issue("revoked").await?;
    let crl = security.ours.revoke(&revoked).await?;
    let pacs = security.pacs(&format!("[dimse.tls]\ncrl = {:?}\n", text(&crl))).await?;
    let good = security.ours.issue("client").await?;
    let strange = security.other.issue("stranger").await?;
    let expired = security.ours.issue_expired("expired").await?;
    let cases = [
        (None, "1.2", ""),
        (None, "1.3", ""),
        (Some(&strange), "1.2", ""),
        (Some(&strange), "1.3", ""),
        (Some(&expired), "1.3", ""),
        (Some(&revoked), "1.3", ""),
        (Some(&good), "1.1", ""),
        (Some(&good), "1.0", ""),
        // Neither ephemeral keys nor authenticated encryption.
        (Some(&good), "1.2", "AES128-SHA"),
    ];
    for (shown, version, cipher) in cases {
        let seen = security.echo(&pacs, shown, version, cipher).await?;
        assert!(seen["error"].is_string(), "{shown:?} {version} {cipher}: {seen}");
    }
    assert_eq!(security.echo(&pacs, Some(&good), "1.3", "").await?["status"], 0);
    let log = pacs.log();
    for reason in ["shows no certificate", "none of our CAs", "expired", "revoked", "neither TLS 1.2 nor"] {
        assert!(log.to_lowercase().contains(&reason.to_lowercase()), "{reason} is not in the log:\n{log}");
    }
    let audit = pacs.web().json("/api/v1/audit").await?;
    let refused = audit.iter().find(|row| row["action"] == "refuse node").context("no line of the audit")?;
    assert_eq!(
        (&refused["actor"], &refused["what"]),
        (&json!("system dimse tls"), &json!("127.0.0.1")),
        "{refused}"
    );
    assert!(refused["outcome"].as_str().is_some_and(|why| why.contains("no certificate")), "{refused}");
    Ok(())
}

#[tokio::test]
async fn clear_text_on_the_tls_port_and_silence_get_nowhere() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("[dimse.tls]\nhandshake-s = 1\n").await?;
    let plain = Modality::new(pacs.dimse_tls()?, "CT1").echo().await?;
    assert!(!plain.success, "an association in clear text on the TLS port");
    let mut silent = connect(pacs.dimse_tls()?).await?;
    silent.write_all(&[0x16, 3, 1]).await?;
    let heard = tokio::time::timeout(SOON, silent.read(&mut [0; 8])).await.context("it is not closed")?;
    assert!(matches!(heard, Ok(0) | Err(_)));
    until("the log says why", SOON, async || pacs.log().contains("speaks no TLS here").then_some(())).await?;
    let client = security.ours.issue("client").await?;
    assert_eq!(security.echo(&pacs, Some(&client), "1.3", "").await?["status"], 0);
    Ok(())
}

#[tokio::test]
async fn without_mutual_authentication_a_peer_needs_no_certificate() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("[dimse.tls]\nmutual = false\n").await?;
    assert_eq!(security.echo(&pacs, None, "1.3", "").await?["status"], 0);
    Ok(())
}

#[tokio::test]
async fn a_move_goes_to_a_destination_within_tls_and_never_in_clear_text() -> Result<()> {
    let security = Security::new().await?;
    let [good, clear, strange, pinned, elsewhere] = std::array::from_fn(|_| free_address());
    let (good, clear, strange) = (good?.port(), clear?.port(), strange?.port());
    let (pinned, elsewhere) = (pinned?.port(), elsewhere?.port());
    let theirs = security.other.issue("theirs").await?;
    let away = security.ours.issue_elsewhere("away").await?;
    let mut settings = format!(
        "[[dimse.tls.trust]]\nae-title = \"PINNED\"\npins = [{:?}]\n",
        security.other.fingerprint(&theirs).await?
    );
    for (title, port) in
        [("GOOD", good), ("CLEAR", clear), ("STRANGE", strange), ("PINNED", pinned), ("AWAY", elsewhere)]
    {
        settings += &format!(
            "[[dimse.peers]]\nae-title = {title:?}\nhost = \"127.0.0.1\"\nport = {port}\ntls = true\n"
        );
    }
    let pacs = security.pacs(&settings).await?;
    let slices = ct(NGUYEN, 2);
    pacs.hold(&slices).await?;
    let into: Vec<_> = ["good", "clear", "strange", "pinned", "away"]
        .into_iter()
        .map(|name| pacs.scratch(name))
        .collect::<Result<_>>()?;
    let _good = storescp_tls(&into[0], good, &security.ours.issue("good").await?, &security.ours).await?;
    let _strange = storescp_tls(&into[2], strange, &theirs, &security.ours).await?;
    let _pinned = storescp_tls(&into[3], pinned, &theirs, &security.ours).await?;
    let _away = storescp_tls(&into[4], elsewhere, &away, &security.ours).await?;
    let _plain = storescp::<&str>(([127, 0, 0, 1], clear).into(), &[], &into[1]).await?;
    let study = &slices[0].study;
    let modality = pacs.modality("WS1");
    for (title, into, count) in [
        ("GOOD", &into[0], 2),
        ("CLEAR", &into[1], 0),
        ("STRANGE", &into[2], 0),
        ("PINNED", &into[3], 2),
        ("AWAY", &into[4], 0),
    ] {
        let finished = modality.move_to(title, study).await?;
        assert_eq!(files_in(into)?.len(), count, "{title}: {finished:?}\n{}", pacs.log());
    }
    let log = pacs.log();
    for reason in ["it may want no TLS here", "none of our CAs", "not valid for name"] {
        assert!(log.contains(reason), "{reason} is not in the log:\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn filmless_echoes_a_peer_within_tls_and_says_what_is_wrong() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("").await?;
    let port = pacs.dimse_tls()?.port();
    let client = security.ours.issue("client").await?;
    let file = security.folder.path().join("client.toml");
    let echo = async |shown: Option<&Certificate>, believes: &Authority| {
        let ca = believes.certificate();
        let mut settings = format!(
            "[[dimse.peers]]\nae-title = \"FILMLESS\"\nhost = \"localhost\"\nport = {port}\ntls = true\n\
             [dimse.tls]\nca = {:?}\n",
            text(&ca)
        );
        if let Some(shown) = shown {
            settings +=
                &format!("certificate = {:?}\nkey = {:?}\n", text(&shown.certificate), text(&shown.key));
        }
        std::fs::write(&file, settings)?;
        filmless(&["echo", "FILMLESS", "--config", text(&file)]).await
    };
    assert!(echo(Some(&client), &security.ours).await?.well()?.stdout.contains("answered in"));
    let stranger = security.other.issue("stranger").await?;
    for (shown, believes, reason) in [
        (None, &security.ours, "wants a certificate of ours"),
        (Some(&stranger), &security.ours, "does not know the CA of our certificate"),
        (Some(&client), &security.other, "none of our CAs has signed it"),
    ] {
        let finished = echo(shown, believes).await?;
        assert!(!finished.success && finished.stderr.contains(reason), "{reason}: {}", finished.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn certificates_are_renewed_without_a_restart_and_broken_ones_change_nothing() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("").await?;
    let client = security.ours.issue("client").await?;
    let shown = async || {
        let ca = security.ours.certificate();
        let arguments = [text(&ca), text(&client.certificate), text(&client.key)];
        pynetdicom(pacs.dimse_tls()?, "serial-tls", &arguments).await
    };
    let before = shown().await?;
    assert!(before.is_string(), "{before}");
    let renewed = security.ours.issue("renewed").await?;
    std::fs::copy(&renewed.certificate, &security.server.certificate)?;
    assert_eq!(shown().await?, before, "the key is not there yet");
    std::fs::copy(&renewed.key, &security.server.key)?;
    let after = shown().await?;
    assert_ne!(after, before, "the new certificate is shown at once");
    std::fs::write(&security.server.certificate, "no certificate")?;
    assert_eq!(shown().await?, after, "the old one holds");
    let log = pacs.log();
    assert!(log.contains("the key is not that of the certificate"), "{log}");
    assert!(log.contains("those of before hold"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_list_of_revoked_certificates_is_read_again_when_it_changes() -> Result<()> {
    let security = Security::new().await?;
    let (gone, client) = (security.ours.issue("gone").await?, security.ours.issue("client").await?);
    let crl = security.ours.revoke(&gone).await?;
    let pacs = security.pacs(&format!("[dimse.tls]\ncrl = {:?}\n", text(&crl))).await?;
    let heard = async |shown: &Certificate| {
        let seen = security.echo(&pacs, Some(shown), "1.3", "").await?;
        Ok::<_, anyhow::Error>(seen["status"] == 0)
    };
    assert!(heard(&client).await? && !heard(&gone).await?);
    assert_eq!(security.ours.revoke(&client).await?, crl);
    assert!(!heard(&client).await?, "{}", pacs.log());
    Ok(())
}

#[tokio::test]
async fn a_start_is_refused_with_the_reason_when_a_certificate_is_wrong() -> Result<()> {
    let security = Security::new().await?;
    let (ours, server) = (security.ours.certificate(), &security.server);
    let expired = security.ours.issue_expired("expired").await?;
    let (ca, certificate, key) = (text(&ours), text(&server.certificate), text(&server.key));
    let data = security.folder.path().join("data");
    let empty = security.folder.path().join("empty.pem");
    std::fs::write(&empty, "")?;
    for (flags, reason) in [
        (vec!["--dimse-tls-cert", certificate, "--dimse-tls-ca", ca], "but key is not"),
        (vec!["--dimse-tls-cert", certificate, "--dimse-tls-key", key], "ca is not set"),
        (
            vec!["--dimse-tls-cert", "/nowhere.pem", "--dimse-tls-key", key, "--dimse-tls-ca", ca],
            "/nowhere.pem",
        ),
        (vec!["--dimse-tls-cert", key, "--dimse-tls-key", key, "--dimse-tls-ca", ca], "no CERTIFICATE in it"),
        (
            vec![
                "--dimse-tls-cert",
                certificate,
                "--dimse-tls-key",
                text(&expired.key),
                "--dimse-tls-ca",
                ca,
            ],
            "the key is not that of the certificate",
        ),
        (
            vec![
                "--dimse-tls-cert",
                text(&expired.certificate),
                "--dimse-tls-key",
                text(&expired.key),
                "--dimse-tls-ca",
                ca,
            ],
            "has expired on",
        ),
        (
            vec!["--dimse-tls-cert", certificate, "--dimse-tls-key", key, "--dimse-tls-ca", text(&empty)],
            "no CERTIFICATE in it",
        ),
    ] {
        let options =
            ["serve", "--open", "--dimse", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", text(&data)];
        let finished = filmless(&[&options[..], &flags].concat()).await?;
        assert!(!finished.success, "started with {flags:?}");
        assert!(finished.stderr.contains(reason), "{reason}: {}", finished.stderr);
    }
    Ok(())
}

/// Listens, and spoils the first byte of application data that each client sends in TLS 1.2.
async fn spoiling(behind: SocketAddr) -> Result<(SocketAddr, AbortOnDropHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever is cut off meets the error himself.
            connections.spawn(async move { drop(spoil(stream, behind).await) });
        }
    });
    Ok((address, AbortOnDropHandle::new(serving)))
}

async fn spoil(client: TcpStream, behind: SocketAddr) -> Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = connect(behind).await?.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let _back = AbortOnDropHandle::new(back);
    loop {
        let mut head = [0; 5];
        from_client.read_exact(&mut head).await?;
        let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        from_client.read_exact(&mut record).await?;
        if let (23, Some(last)) = (head[0], record.last_mut()) {
            *last ^= 1;
        }
        to_server.write_all(&[&head[..], &record].concat()).await?;
    }
}

#[tokio::test]
async fn what_was_changed_on_its_way_ends_the_connection() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("").await?;
    let client = security.ours.issue("client").await?;
    let (spoilt, _serving) = spoiling(pacs.dimse_tls()?).await?;
    let ca = security.ours.certificate();
    let arguments = [text(&ca), text(&client.certificate), text(&client.key), "1.2", ""];
    let seen = pynetdicom(spoilt, "echo-tls", &arguments).await?;
    assert_eq!(seen, json!({"error": "no association"}));
    until("the log says why", SOON, async || pacs.log().contains("cannot decrypt").then_some(())).await?;
    Ok(())
}

/// UIDs of the instances of a study that are here.
async fn here(pacs: &Pacs, study: &str) -> Result<BTreeSet<String>> {
    let rows = pacs.web().json(&format!("/dicom-web/studies/{study}/instances")).await?;
    let uid = |row: &Value| row["00080018"]["Value"][0].as_str().map(str::to_owned);
    Ok(rows.iter().filter_map(uid).collect())
}

#[tokio::test]
async fn orthanc_and_we_echo_store_and_move_within_tls() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("").await?;
    let (theirs, ours) = (security.ours.issue("orthanc").await?, &security.ours);
    let orthanc = Orthanc::start_tls(pacs.dimse_tls()?, &theirs, ours, true).await?;
    let web = pacs.web();
    let peer = json!({"host": "127.0.0.1", "port": orthanc.address.port(), "tls": true});
    web.put_json("/api/v1/peers/ORTHANC", &peer).await?;
    // C-ECHO, both ways.
    assert!(orthanc.echo().await?, "{}", pacs.log());
    until("an Orthanc that was told of and answers", SOON, async || {
        let echo = web.post_json("/api/v1/peers/ORTHANC/echo", &json!({})).await.ok()?;
        echo.status.is_success().then_some(())
    })
    .await?;
    // C-MOVE by Orthanc, and C-STORE to it.
    let first = [ct(NGUYEN, 5), vec![us_multiframe(NGUYEN, 3)]].concat();
    pacs.hold(&first).await?;
    orthanc.retrieve_by_move("2.25.7001").await?;
    assert_eq!(orthanc.instances().await?.into_iter().collect::<BTreeSet<_>>(), uids(&first));
    // C-STORE by Orthanc.
    let second = ct(MUELLER, 4);
    orthanc.hold(&second).await?;
    orthanc.send_all().await?;
    assert_eq!(here(&pacs, "2.25.7002").await?, uids(&second));
    for instance in &second {
        assert!(tests::pacs::data_set_of(&pacs.file_of(instance).await?)? == instance.data_set);
    }
    // What we fetch of it.
    let third = ct(tests::corpus::StudyOf { number: 31, ..NGUYEN }, 3);
    orthanc.hold(&third).await?;
    let study = &third[0].study;
    web.post_json("/api/v1/peers/ORTHANC/retrieve", &json!({"studies": [study]})).await?;
    until("a study that was fetched", SOON, async || {
        (here(&pacs, study).await.ok()? == uids(&third)).then_some(())
    })
    .await
}

#[tokio::test]
async fn orthanc_and_we_do_not_hear_each_other_in_clear_text_nor_by_a_strange_certificate() -> Result<()> {
    let security = Security::new().await?;
    let pacs = security.pacs("").await?;
    let web = pacs.web();
    let known = security.ours.issue("orthanc").await?;
    let strange = security.other.issue("stranger").await?;
    // What it shows, whether it calls within TLS, whether we do; whether it is heard, and whether we are.
    for (title, shown, its, ours, it_is_heard, we_are) in [
        ("CLEAR", &known, false, true, false, true),
        ("STRANGE", &strange, true, true, false, false),
        ("TO_CLEAR", &known, true, false, true, false),
    ] {
        let orthanc = Orthanc::start_tls(pacs.dimse_tls()?, shown, &security.ours, its).await?;
        let peer = json!({"host": "127.0.0.1", "port": orthanc.address.port(), "tls": ours});
        web.put_json(&format!("/api/v1/peers/{title}"), &peer).await?;
        assert_eq!(orthanc.echo().await?, it_is_heard, "{title}: {}", pacs.log());
        let echo = until("an answer about a peer that was told of", SOON, async || {
            let path = format!("/api/v1/peers/{title}/echo");
            web.post_json(&path, &json!({})).await.ok().filter(|echo| echo.status.as_u16() != 404)
        })
        .await?;
        assert_eq!(echo.status.is_success(), we_are, "{title}: {echo:?}");
    }
    Ok(())
}
