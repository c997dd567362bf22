//! `make bench`: frames of a series and of an enhanced multi-frame CT, beside Orthanc and beside nginx, which gives the
//! same bytes as static files.
//!
//! Each work is done in turns by every house that is there, `FRAMES_ROUNDS` times (3); the middle one is printed, with its
//! ratio to filmless. Orthanc (`/usr/sbin/Orthanc` with its DICOMweb plugin) and nginx (`/usr/sbin/nginx`) are left out
//! where they are not installed. All share the processors with who asks.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::json;
use tests::corpus::{MUELLER, NGUYEN, Synthetic, ct_of_size, enhanced_ct};
use tests::program::free_address;
use tests::usage::family;
use tests::wait::until;
use tests::web::Connection;
use tests::{Program, Web};
use tokio::process::{Child, Command};

/// Slices of the series, and frames of the enhanced CT; 512 KiB each.
const SLICES: u16 = 200;
const FRAMES: u16 = 100;
const EDGE: u16 = 512;
const START: Duration = Duration::from_secs(60);
/// What viewers ask with.
const ACCEPT: &str = "multipart/related; type=application/octet-stream; transfer-syntax=*";

/// What is asked for, how often in one turn, over how many connections. Orthanc takes half a minute for each hundred of the
/// last.
const WORKS: [(&str, Subject, Turn); 4] = [
    ("frames, 1 connection", Subject::Series, Turn { requests: 1000, connections: 1 }),
    ("frames, 6 connections", Subject::Series, Turn { requests: 1000, connections: 6 }),
    ("frames, 20 connections", Subject::Series, Turn { requests: 1000, connections: 20 }),
    ("frames of an enhanced CT, 6 connections", Subject::Enhanced, Turn { requests: 100, connections: 6 }),
];

#[derive(Clone, Copy)]
struct Turn {
    requests: u32,
    connections: usize,
}

#[derive(Clone, Copy)]
enum Subject {
    Series,
    Enhanced,
}

/// A server that gives frames.
struct House {
    name: &'static str,
    address: SocketAddr,
    /// Before the path of the frame.
    root: &'static str,
    process: i32,
}

/// What a turn took.
#[derive(Clone, Copy)]
struct Figures {
    a_second: f64,
    /// Of the server, for one request.
    cpu_ms: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let rounds: usize = env::var("FRAMES_ROUNDS").map_or(Ok(3), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let (series, enhanced) = (ct_of_size(NGUYEN, SLICES, EDGE), enhanced_ct(MUELLER, FRAMES, EDGE));
    let all = [series.as_slice(), std::slice::from_ref(&enhanced)].concat();
    let paths = |subject: Subject| match subject {
        Subject::Series => series.iter().map(|slice| frame(slice, 1)).collect::<Vec<_>>(),
        Subject::Enhanced => (1..=FRAMES).map(|number| frame(&enhanced, number)).collect(),
    };

    let filmless = Program::start(&folder.path().join("filmless"), &[]).await?;
    for file in all.iter().map(Synthetic::file) {
        let taken = Web::new(filmless.http).post("/dicom-web/studies", "application/dicom", file).await?;
        ensure!(taken.status.is_success(), "{taken:?}");
    }
    let own =
        House { name: "filmless", address: filmless.http, root: "/dicom-web", process: filmless.process()? };
    let orthanc = Orthanc::start(&folder.path().join("orthanc"), &all).await?;
    let each = [paths(Subject::Series), paths(Subject::Enhanced)].concat();
    let nginx = Nginx::start(&folder.path().join("nginx"), &own, &each).await?;
    let others = [orthanc.as_ref().map(|orthanc| &orthanc.house), nginx.as_ref().map(|nginx| &nginx.house)];
    let houses: Vec<&House> = [Some(&own)].into_iter().chain(others).flatten().collect();

    println!("frames of 512 KiB, the middle of {rounds} rounds; CPU of the server for each request");
    for (name, subject, turn) in WORKS {
        let paths = paths(subject);
        let mut seen: Vec<Vec<Figures>> = houses.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (house, seen) in houses.iter().zip(&mut seen) {
                seen.push(house.gives(&paths, turn).await?);
            }
        }
        let middles: Vec<Figures> = seen.into_iter().filter_map(middle).collect();
        let ours = middles.first().context("filmless is always there")?.a_second;
        for (house, Figures { a_second, cpu_ms }) in houses.iter().zip(&middles) {
            let House { name: house, .. } = house;
            let ratio = ours / a_second;
            println!(
                "{name:<42}{house:<10}{a_second:>8.0} a second {cpu_ms:>6.2} ms CPU   filmless {ratio:.2} x"
            );
        }
    }
    filmless.terminate()?;
    filmless.exit().await.map(drop)
}

/// Where a frame is, below the root of DICOMweb.
fn frame(of: &Synthetic, number: u16) -> String {
    let Synthetic { study, series, sop_instance, .. } = of;
    format!("/studies/{study}/series/{series}/instances/{sop_instance}/frames/{number}")
}

fn middle(mut figures: Vec<Figures>) -> Option<Figures> {
    figures.sort_by(|one, other| one.a_second.total_cmp(&other.a_second));
    figures.get(figures.len() / 2).copied()
}

impl House {
    /// One turn: so many frames, from the first on and again from the first.
    async fn gives(&self, paths: &[String], Turn { requests, connections }: Turn) -> Result<Figures> {
        let count = usize::try_from(requests)?;
        let readers = try_join_all((0..connections).map(|_| Connection::open(self.address))).await?;
        let (used, began) = (family(self.process)?, Instant::now());
        let reading = readers.into_iter().enumerate().map(|(reader, mut connection)| async move {
            let of_reader = (reader..count).step_by(connections);
            for path in of_reader.filter_map(|request| paths.get(request % paths.len())) {
                let length = connection.get(&format!("{}{path}", self.root), ACCEPT).await?;
                ensure!(length >= usize::from(EDGE) * usize::from(EDGE) * 2, "{length} bytes of {path}");
            }
            Ok(())
        });
        try_join_all(reading).await?;
        let (took, cpu) = (began.elapsed().as_secs_f64(), family(self.process)?.saturating_sub(used));
        let requests = f64::from(requests);
        Ok(Figures { a_second: requests / took, cpu_ms: cpu.as_secs_f64() * 1000.0 / requests })
    }
}

/// A server that ends with what it has started when this is dropped: it is asked to, for its own would outlive it.
struct Launched {
    _child: Child,
    process: Pid,
}

impl Launched {
    fn new(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let id = child.id().context("it has ended at once")?;
        let process = Pid::from_raw(i32::try_from(id)?).context("a process id of 0")?;
        Ok(Self { _child: child, process })
    }

    fn id(&self) -> i32 {
        self.process.as_raw_nonzero().get()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if let Err(error) = kill_process(self.process, Signal::TERM) {
            println!("process {} goes on: {error}", self.id());
        }
    }
}

struct Orthanc {
    house: House,
    _server: Launched,
}

impl Orthanc {
    /// With the instances in it; none where it is not installed.
    async fn start(folder: &Path, instances: &[Synthetic]) -> Result<Option<Self>> {
        let program = Path::new("/usr/sbin/Orthanc");
        if !program.exists() {
            println!("no Orthanc here");
            return Ok(None);
        }
        fs::create_dir(folder)?;
        let address = free_address()?;
        let settings = json!({
            "StorageDirectory": folder, "IndexDirectory": folder, "HttpPort": address.port(),
            "HttpBindAddresses": ["127.0.0.1"], "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
            "DicomServerEnabled": false, "KeepAlive": true, "TcpNoDelay": true, "HttpThreadsCount": 50,
            "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        });
        let path = folder.join("orthanc.json");
        fs::write(&path, settings.to_string())?;
        let server = Launched::new(Command::new(program).arg(&path), &folder.join("log"))?;
        let web = Web::new(address);
        until("Orthanc answers", START, async || web.get("/system", "*/*").await.ok()).await?;
        for file in instances.iter().map(Synthetic::file) {
            let taken = web.post("/instances", "application/dicom", file).await?;
            ensure!(taken.status.is_success(), "{taken:?}");
        }
        let house = House { name: "Orthanc", address, root: "/dicom-web", process: server.id() };
        Ok(Some(Self { house, _server: server }))
    }
}

struct Nginx {
    house: House,
    _server: Launched,
}

impl Nginx {
    /// With the frames as filmless gives them, each a file; none where it is not installed.
    async fn start(folder: &Path, from: &House, paths: &[String]) -> Result<Option<Self>> {
        let program = Path::new("/usr/sbin/nginx");
        if !program.exists() {
            println!("no nginx here");
            return Ok(None);
        }
        let files = folder.join("files");
        let web = Web::new(from.address);
        for path in paths {
            let answer = web.get(&format!("{}{path}", from.root), "application/octet-stream").await?;
            ensure!(answer.status.is_success(), "{answer:?}");
            let file = files.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().context("a folder")?)?;
            fs::write(file, &answer.body)?;
        }
        let address = free_address()?;
        let place = folder.to_str().context("a path in UTF-8")?;
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {place}/{name};"))
            .concat();
        // Its workers give up the rights of root, and the folder is for its owner alone.
        let user = if getuid().is_root() { "user root;" } else { "" };
        let settings = format!(
            "daemon off; worker_processes auto; pid {place}/pid; error_log {place}/errors; {user}\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; {temporary}\n\
             default_type application/octet-stream; server {{ listen {address}; root {place}/files; }} }}\n"
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, settings)?;
        let mut command = Command::new(program);
        let server = Launched::new(command.arg("-c").arg(&path).arg("-p").arg(folder), &folder.join("log"))?;
        let web = Web::new(address);
        let first = paths.first().context("a frame")?;
        until("nginx answers", START, async || web.get(first, "*/*").await.ok()).await?;
        let house = House { name: "nginx", address, root: "", process: server.id() };
        Ok(Some(Self { house, _server: server }))
    }
}
