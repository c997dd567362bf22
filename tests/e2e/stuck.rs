//! Peers that ask for much and take nothing: each holds its share, for a time, and nobody else waits for it.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http_body_util::{Empty, StreamBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn::http2,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tests::{
    Modality, Program, Web,
    by_hand::{Association, CT_IMAGE, EXPLICIT_LITTLE, Proposal, associate_ac, connect, read_pdu},
    corpus::{MUELLER, NGUYEN, Synthetic, ct_of_size},
    modality::files_in,
    pacs::data_set_of,
    wait::until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{interval, timeout},
};

const STUDY_ROOT_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const STUDY_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
/// A frame of 32 MiB.
const LARGE: u16 = 4096;
/// Longer than anybody waits who is not held back.
const SOON: Duration = Duration::from_secs(3);
/// Longer than it takes until those who are stuck are ended because others wait.
const LATER: Duration = Duration::from_secs(20);
const ACCEPT: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";

/// A server with something large that stuck peers ask for, and something usual that others do.
struct Scene {
    program: Program,
    large: Synthetic,
    usual: Synthetic,
    folder: TempDir,
}

impl Scene {
    async fn set(settings: &str, options: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("filmless.toml");
        fs::write(&file, settings)?;
        let options = [&["--config", file.to_str().context("a path in UTF-8")?], options].concat();
        let program = Program::start(&folder.path().join("data"), &options).await?;
        let (large, usual) = (ct_of_size(NGUYEN, 1, LARGE).remove(0), ct_of_size(MUELLER, 1, 128).remove(0));
        let mut association = Association::for_ct(program.dimse, "CT_1").await?;
        for slice in [&large, &usual] {
            assert_eq!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?, 0);
        }
        association.release().await?;
        Ok(Self { program, large, usual, folder })
    }

    fn path(&self, of: &Synthetic) -> String {
        let Synthetic { study, series, sop_instance, .. } = of;
        format!("/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1")
    }

    /// Somebody else asks for a frame and is given it, within this time.
    async fn assert_serves(&self, of: &Synthetic, within: Duration) -> Result<()> {
        let path = self.path(of);
        let web = Web::new(self.program.http);
        let answer = timeout(within, web.get(&path, ACCEPT)).await.context("others are held back")??;
        assert_eq!(answer.status.as_u16(), 200, "{}", String::from_utf8_lossy(&answer.body));
        assert!(of.data_set.ends_with(&answer.parts()?[0]), "another frame came");
        Ok(())
    }

    /// Somebody else gets a study by C-GET, within this time.
    async fn assert_gives(&self, within: Duration) -> Result<()> {
        let modality = Modality::new(self.program.dimse, "READER");
        let folder = self.scratch("read")?;
        let got = timeout(within, modality.get(&self.usual.study, &folder));
        let files = got.await.context("others are held back")??;
        assert_eq!(files.len(), 1);
        assert!(data_set_of(&fs::read(&files[0])?.into())? == self.usual.data_set);
        assert_eq!(files_in(&folder)?.len(), 1);
        Ok(())
    }

    fn scratch(&self, name: &str) -> Result<std::path::PathBuf> {
        let folder = Path::new(self.folder.path()).join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clients_that_read_nothing_of_a_large_frame_hold_back_nobody() -> Result<()> {
    let scene = Scene::set("", &[]).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: {ACCEPT}\r\n\r\n",
        scene.path(&scene.large),
        scene.program.http
    );
    let mut stuck = Vec::new();
    for number in 0..30 {
        let mut stream = connect(scene.program.http).await?;
        stream.write_all(request.as_bytes()).await?;
        if number < 3 {
            // Its first byte has come: it is being served.
            stream.read_u8().await?;
        }
        stuck.push(stream);
    }
    for _ in 0..3 {
        scene.assert_serves(&scene.usual, SOON).await?;
    }
    scene.assert_serves(&scene.large, LATER).await?;
    scene.assert_gives(SOON).await
}

/// An HTTP/2 connection whose streams may have one byte each; it ends when the server ends it.
async fn with_closed_windows(
    server: SocketAddr,
) -> Result<(http2::SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>)> {
    let stream = TcpStream::connect(server).await?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    Ok((sender, tokio::spawn(connection)))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_whose_window_never_opens_hold_back_nobody_and_are_ended() -> Result<()> {
    let scene = Scene::set("[http]\nstall-s = 8\n", &[]).await?;
    let url = format!("http://{}{}", scene.program.http, scene.path(&scene.large));
    let mut connections = Vec::new();
    let mut answers: Vec<Response<Incoming>> = Vec::new();
    for _ in 0..2 {
        let (mut sender, connection) = with_closed_windows(scene.program.http).await?;
        for _ in 0..100 {
            let request = Request::get(&url).header(HOST, scene.program.http.to_string());
            let request = request.header("accept", ACCEPT).body(Empty::new())?;
            let answer =
                timeout(LATER, sender.send_request(request)).await.context("no head of an answer")?;
            // What is refused for lack of room holds none.
            answers.extend(answer);
        }
        connections.push((sender, connection));
    }
    assert!(answers.len() > 100, "{} answers", answers.len());
    scene.assert_serves(&scene.usual, SOON).await?;
    scene.assert_serves(&scene.large, LATER).await?;
    for (_sender, connection) in connections {
        let _ = timeout(LATER, connection).await.context("the server waits for ever")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_of_a_c_get_that_take_nothing_hold_back_nobody_and_are_ended() -> Result<()> {
    let scene = Scene::set("[dimse]\nstall-s = 8\n", &[]).await?;
    let contexts = [
        Proposal { id: 1, abstract_syntax: STUDY_ROOT_GET, transfer_syntaxes: &[EXPLICIT_LITTLE] },
        Proposal { id: 3, abstract_syntax: CT_IMAGE, transfer_syntaxes: &[EXPLICIT_LITTLE] },
    ];
    let mut stuck = Vec::new();
    for _ in 0..40 {
        let mut association = Association::request_as_scp(scene.program.dimse, "STUCK", &contexts).await?;
        association.begin_retrieve(1, STUDY_ROOT_GET, &scene.large.study, None).await?;
        stuck.push(association);
    }
    scene.assert_gives(SOON).await?;
    scene.assert_serves(&scene.usual, SOON).await?;
    scene.assert_serves(&scene.large, LATER).await?;
    assert_all_ended(&scene, "association ended", stuck.len()).await
}

/// The body of a request whose sender never comes to the end.
type Dripping = StreamBody<BoxStream<'static, std::io::Result<Frame<Bytes>>>>;

/// The beginning of an instance, and then a byte now and then, or none at all.
fn dripping(file: &Bytes, pause: Option<Duration>) -> Dripping {
    let mut beginning = b"--b\r\nContent-Type: application/dicom\r\n\r\n".to_vec();
    beginning.extend_from_slice(&file[..10_000]);
    let rest = match pause {
        Some(pause) => stream::unfold(interval(pause), |mut drops| async move {
            drops.tick().await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), drops))
        })
        .boxed(),
        None => stream::pending().boxed(),
    };
    StreamBody::new(stream::iter([Ok(Frame::data(beginning.into()))]).chain(rest).boxed())
}

/// So many who store over one HTTP/2 connection and do not come to the end; their answers.
async fn dripping_writers(
    scene: &Scene,
    count: usize,
    pause: Option<Duration>,
) -> Result<Vec<JoinHandle<hyper::Result<Response<Incoming>>>>> {
    let stream = TcpStream::connect(scene.program.http).await?;
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake::<_, Dripping>(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..count {
        sender.ready().await?;
        let request = Request::post(format!("http://{}/dicom-web/studies", scene.program.http))
            .header(CONTENT_TYPE, "multipart/related; type=\"application/dicom\"; boundary=b")
            .body(dripping(&scene.usual.file(), pause))?;
        answers.push(tokio::spawn(sender.send_request(request)));
    }
    Ok(answers)
}

/// Somebody else stores, and finds it, within this time.
async fn assert_stores(scene: &Scene, number: u16, within: Duration) -> Result<()> {
    let web = Web::new(scene.program.http);
    let file = ct_of_size(NGUYEN, number, 64).remove(usize::from(number) - 1).file();
    let stored = timeout(within, web.store("/dicom-web/studies", &[file])).await;
    let answer = stored.context("others are held back")??;
    assert!(answer.status.is_success(), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_send_a_byte_now_and_then_hold_back_nobody() -> Result<()> {
    let scene = Scene::set("", &[]).await?;
    let mut writers = Vec::new();
    for _ in 0..3 {
        writers.extend(dripping_writers(&scene, 60, Some(Duration::from_millis(200))).await?);
    }
    for number in 2..5 {
        assert_stores(&scene, number, SOON).await?;
        scene.assert_serves(&scene.usual, SOON).await?;
    }
    assert!(writers.iter().all(|writer| !writer.is_finished()), "they are let go on");
    writers.iter().for_each(JoinHandle::abort);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_stop_in_the_middle_hold_back_nobody_and_are_answered() -> Result<()> {
    let scene = Scene::set("[http]\nstall-s = 8\n", &[]).await?;
    let writers = dripping_writers(&scene, 60, None).await?;
    assert_stores(&scene, 2, SOON).await?;
    scene.assert_serves(&scene.usual, SOON).await?;
    for writer in writers {
        let answer = timeout(LATER, writer).await.context("the server waits for ever")???;
        assert_eq!(answer.status().as_u16(), 408);
    }
    assert_stores(&scene, 3, SOON).await
}

/// Accepts every association and then takes nothing; gives its address.
async fn deaf_destination() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let accept = async move |kept: &mut Vec<TcpStream>| {
        let (mut stream, _) = listener.accept().await?;
        let answer = associate_ac(&read_pdu(&mut stream).await?)?;
        stream.write_all(&answer).await?;
        kept.push(stream);
        anyhow::Ok(())
    };
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        while accept(&mut kept).await.is_ok() {}
    });
    Ok((address, serving))
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_of_a_c_move_that_take_nothing_hold_back_nobody_and_are_ended() -> Result<()> {
    let (deaf, _serving) = deaf_destination().await?;
    let settings = format!(
        "[dimse]\nstall-s = 8\n[[dimse.peers]]\nae-title = \"DEAF\"\nhost = \"127.0.0.1\"\nport = {}\nmax-associations = 64\n",
        deaf.port()
    );
    let scene = Scene::set(&settings, &[]).await?;
    let context =
        [Proposal { id: 1, abstract_syntax: STUDY_ROOT_MOVE, transfer_syntaxes: &[EXPLICIT_LITTLE] }];
    let mut movers = Vec::new();
    for _ in 0..40 {
        let mut association = Association::request(scene.program.dimse, "MOVER", &context).await?;
        association.begin_retrieve(1, STUDY_ROOT_MOVE, &scene.large.study, Some("DEAF")).await?;
        movers.push(association);
    }
    scene.assert_gives(SOON).await?;
    scene.assert_serves(&scene.usual, SOON).await?;
    scene.assert_serves(&scene.large, LATER).await?;
    assert_all_ended(&scene, "sending ended", movers.len()).await
}

/// Their shares have come back: the log says that each of them was ended.
async fn assert_all_ended(scene: &Scene, what: &str, count: usize) -> Result<()> {
    let ended = async || (scene.program.log().matches(what).count() >= count).then_some(());
    until("all of them are ended", LATER, ended).await
}
