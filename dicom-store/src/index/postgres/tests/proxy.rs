//! A way to the server on which what goes over it is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::fixture::Database;

pub(super) struct Proxy {
    address: SocketAddr,
    trips: Arc<AtomicU64>,
    cut: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(super) async fn start(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let trips = Arc::new(AtomicU64::new(0));
        let cut = Arc::new(Notify::new());
        let (socket, counter, end) = (database.socket(), trips.clone(), cut.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.expect("the server listens");
                let (counter, end) = (counter.clone(), end.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(client, server, counter) => {}
                        () = end.notified() => {}
                    }
                });
            }
        });
        Self { address, trips, cut, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn url(&self, database: &Database) -> String {
        let options = database.url();
        let schema = options.rsplit('=').next().expect("the last option is the schema");
        format!("postgres://filmless@{}/postgres?sslmode=disable&options[search_path]={schema}", self.address)
    }

    /// Ends every connection that goes over it now.
    pub(super) fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// How often the client has spoken and the server has answered.
    pub(super) fn trips(&self) -> u64 {
        self.trips.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, mut server: UnixStream, trips: Arc<AtomicU64>) {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut is_answer = true;
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                if count == 0 || server.write_all(asked.get(..count).unwrap_or_default()).await.is_err() {
                    return;
                }
                trips.fetch_add(u64::from(is_answer), Ordering::SeqCst);
                is_answer = false;
            }
            Ok(count) = server.read(&mut answered) => {
                if count == 0 || client.write_all(answered.get(..count).unwrap_or_default()).await.is_err() {
                    return;
                }
                is_answer = true;
            }
            else => return,
        }
    }
}
