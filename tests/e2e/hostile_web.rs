//! Clients that lie or stall over HTTP: each is refused or dropped, and the server goes on for the others.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tests::{
    Pacs,
    by_hand::connect,
    corpus::{MUELLER, NGUYEN, ct, ct_of_size},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The server stores for somebody else, and finds it.
async fn assert_goes_on(pacs: &Pacs) -> Result<()> {
    pacs.hold(&ct(MUELLER, 1)).await?;
    assert_eq!(pacs.web().json("/dicom-web/studies?PatientID=DE-7").await?.len(), 1);
    Ok(())
}

/// Sends bytes as they are; gives what comes back until the server closes.
async fn throw(pacs: &Pacs, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = connect(pacs.http()).await?;
    // It may hang up before all is written.
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .context("the server neither answers nor closes")?;
    Ok(answer)
}

/// Sends a request as it is; gives the answer to it. The server is asked to close behind it.
async fn ask(pacs: &Pacs, request: &str) -> Result<String> {
    let mut stream = connect(pacs.http()).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.context("no answer")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn survives_what_is_no_http() -> Result<()> {
    let pacs = Pacs::start().await?;
    let long_header =
        format!("GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    let long_query =
        format!("GET /dicom-web/studies?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a=b&".repeat(20_000));
    for bytes in [
        &[0; 100],
        b"GET\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        long_header.as_bytes(),
        long_query.as_bytes(),
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /dicom-web/studies?PatientName=%00%ff%zz HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    ] {
        let answer = throw(&pacs, bytes).await?;
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn serves_no_file_of_the_machine() -> Result<()> {
    let pacs = Pacs::start().await?;
    for path in [
        "/../../../../etc/passwd",
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/dicom-web/studies/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/%2e%2e/Cargo.toml",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n");
        let answer = ask(&pacs, &request).await?;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("[package]"), "{path}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn takes_thousands_of_empty_parts_for_what_they_are() -> Result<()> {
    let pacs = Pacs::start().await?;
    let answer = pacs.web().store("/dicom-web/studies", &vec![Bytes::new(); 5000]).await?;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    assert_goes_on(&pacs).await
}

#[tokio::test]
async fn says_unavailable_when_the_disk_is_full_and_stores_again_when_it_is_not() -> Result<()> {
    let pacs = Pacs::on_limited_disk().await?;
    pacs.hold(&ct(MUELLER, 1)).await?;
    let files: Vec<Bytes> = ct_of_size(NGUYEN, 2, 1024).iter().map(|slice| slice.file()).collect();
    pacs.limit_file_size(Some(64 * 1024))?;
    let answer = pacs.web().store("/dicom-web/studies", &files).await?;
    assert_eq!(answer.status.as_u16(), 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    assert_eq!(pacs.web().json("/dicom-web/studies?PatientID=BN-0001").await?.len(), 0);
    pacs.limit_file_size(None)?;
    let answer = pacs.web().store("/dicom-web/studies", &files).await?;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn silent_connections_keep_nobody_waiting() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut silent: Vec<TcpStream> = Vec::new();
    for number in 0..20 {
        let mut stream = connect(pacs.http()).await?;
        if number % 2 == 1 {
            stream.write_all(b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Le").await?;
        }
        silent.push(stream);
    }
    timeout(Duration::from_secs(10), assert_goes_on(&pacs)).await.context("others are kept waiting")?
}

#[tokio::test]
async fn answers_a_body_whose_last_delimiter_never_comes() -> Result<()> {
    let pacs = Pacs::start().await?;
    let body = "--b\r\nContent-Type: application/dicom\r\n\r\nAAAA\r\n";
    let request = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\nConnection: close\r\n\
         Content-Type: multipart/related; type=\"application/dicom\"; boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(&pacs, &request).await?;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_goes_on(&pacs).await
}
