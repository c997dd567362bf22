//! A door between the server and something that it needs, for a test to close.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// Where the way leads behind the door.
#[derive(Clone)]
pub enum Behind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Connections are accepted, and nothing comes of them.
    Silent,
    /// Connections end at once.
    Closed,
}

/// Listens on loopback.
pub struct Gate {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    _serving: AbortOnDropHandle<()>,
}

impl Gate {
    /// An open door.
    pub async fn new(behind: Behind) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, seen) = watch::channel(State::Open);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever is cut off meets the error himself.
                let (behind, seen) = (behind.clone(), seen.clone());
                connections.spawn(async move { drop(pass(stream, behind, seen).await) });
            }
        });
        Ok(Self { address, state, _serving: AbortOnDropHandle::new(serving) })
    }

    pub fn open(&self) {
        self.state.send_replace(State::Open);
    }

    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }
}

async fn pass(mut here: TcpStream, behind: Behind, mut state: watch::Receiver<State>) -> Result<()> {
    here.set_nodelay(true)?;
    let now = *state.borrow_and_update();
    if now == State::Open {
        match behind {
            Behind::Tcp(address) => {
                let there = TcpStream::connect(address).await?;
                there.set_nodelay(true)?;
                carry(&mut here, there, &mut state).await?;
            }
            Behind::Unix(path) => carry(&mut here, UnixStream::connect(path).await?, &mut state).await?,
        }
    }
    // A connection that met a silent door is lost, but does not hear of it before the door moves again.
    if *state.borrow_and_update() == State::Silent {
        state.changed().await?;
    }
    Ok(())
}

/// Carries bytes both ways until the door moves.
async fn carry(
    here: &mut TcpStream,
    mut there: impl AsyncRead + AsyncWrite + Unpin,
    state: &mut watch::Receiver<State>,
) -> Result<()> {
    tokio::select! {
        moved = state.changed() => moved?,
        carried = copy_bidirectional(here, &mut there) => drop(carried?),
    }
    Ok(())
}
