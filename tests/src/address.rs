//! Loopback addresses for programs of others that cannot say which port they have got.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result};

/// Below it the system gives out no ports by itself, wherever nobody has told it to.
const END: u16 = 32_768;
const FIRST: u16 = 12_000;

/// A loopback address that is free now, and that nothing else takes before this process ends: the system gives such ports
/// to nobody who asks for any, and a test that wants one asks here, where each is locked by a file.
///
/// # Errors
/// When none is left.
pub fn free_address() -> Result<SocketAddr> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    let ports = ports();
    let count = ports.end - ports.start;
    let next = next(count);
    let candidates = (0..count).map(|step| ports.start + (next + step) % count);
    let taken = candidates.filter_map(|port| Some((port, locked(&folder.join(port.to_string()))?)));
    for (port, lock) in taken {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            // The system unlocks it when this process has ended, however it does.
            std::mem::forget(lock);
            return Ok(address);
        }
    }
    None.context("no port is free")
}

/// The locks of this user's tests.
fn folder() -> PathBuf {
    env::temp_dir().join(format!("filmless-tests-ports-{}", rustix::process::getuid().as_raw()))
}

/// Where this process looks first; each starts somewhere else.
fn next(count: u16) -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let asked = u32::from(ASKED.fetch_add(1, Ordering::Relaxed));
    let start = process::id().wrapping_mul(61).wrapping_add(asked) % u32::from(count);
    u16::try_from(start).unwrap_or_default()
}

/// Ports that the system does not give out by itself.
fn ports() -> Range<u16> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let least = given.split_whitespace().next().and_then(|least| least.parse().ok()).unwrap_or(END);
    FIRST..least.clamp(FIRST + 1000, END)
}

/// A file of which nobody else has the lock; with it goes the lock.
fn locked(path: &Path) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path).ok()?;
    file.try_lock().ok().map(|()| file)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_gets_an_address_twice_nor_one_that_the_system_gives_out() {
        let addresses: Vec<SocketAddr> = (0..200).map(|_| free_address().unwrap()).collect();
        let different: HashSet<_> = addresses.iter().collect();
        assert_eq!(different.len(), 200);
        assert!(addresses.iter().all(|address| ports().contains(&address.port())));
        // Also nobody in another process: who has the lock has the address.
        assert!(locked(&folder().join(addresses[0].port().to_string())).is_none());
    }
}
