//! Kill after kill under load, over one archive that lives on: `CRASH_SECONDS` says for how long.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tests::{
    Program, Web,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, StudyOf, Synthetic, ct_of_size},
    pacs::{data_set_of, stored_file},
    program::filmless,
    wait::until,
};

/// Kills in a run of all tests.
const A_FEW: usize = 3;
const SENDERS: u32 = 6;
/// Of the senders, this one uses STOW-RS.
const WEB: u32 = 5;
/// Edges of slices: 512 bytes to 2 MiB, of which the last two are too large to wait for their turn in memory.
const EDGES: [u16; 10] = [16, 16, 64, 64, 128, 128, 256, 512, 768, 1024];
/// Packs are soon full and soon sealed, so that much happens between two kills.
const SETTINGS: &str = "[store]\npack-size-mib = 8\ninline-size-mib = 1\nseal-idle-s = 2\n";
/// An archive that has taken so much is left for a new one.
const MUCH: u64 = 1 << 30;
/// Of what was checked before, so many are checked again after a kill.
const AGAIN: usize = 100;

/// An instance that was acknowledged.
#[derive(Clone)]
struct Acknowledged {
    study: String,
    series: String,
    digest: [u8; 32],
}

impl Acknowledged {
    fn of(slice: &Synthetic) -> Self {
        let (study, series) = (slice.study.clone(), slice.series.clone());
        Self { study, series, digest: Sha256::digest(&slice.data_set).into() }
    }
}

/// What one archive was sent.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeMap<String, Acknowledged>,
    /// Everything that may be there, acknowledged or not, by study.
    studies: BTreeMap<String, BTreeSet<String>>,
    bytes: u64,
    acknowledgements: usize,
}

type Ledger = Arc<Mutex<Sent>>;

/// Numbers that look like chance and are the same again for the same seed.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % end
    }
}

/// One who sends studies until the server is gone; now and then something again that was acknowledged.
struct Sender {
    dimse: SocketAddr,
    http: SocketAddr,
    chance: Chance,
    ledger: Ledger,
    /// Studies of this sender have numbers of their own.
    numbers: std::ops::Range<u32>,
    is_web: bool,
}

impl Sender {
    async fn run(mut self) {
        let mut association = None;
        while let Some(number) = self.numbers.next() {
            let edge = EDGES[self.chance.below(EDGES.len())];
            let slices = if edge > 700 { 1 } else { 1 + self.chance.below(12) };
            let study = ct_of_size(StudyOf { number, ..NGUYEN }, u16::try_from(slices).unwrap_or(1), edge);
            self.expect(&study);
            for at in 0..study.len() {
                let is_again = at > 0 && self.chance.below(6) == 0;
                for slice in study.get(at).into_iter().chain(study.first().filter(|_| is_again)) {
                    let is_stored = if self.is_web {
                        self.post(slice).await
                    } else {
                        self.store(&mut association, slice).await
                    };
                    if !is_stored {
                        return;
                    }
                    self.note(slice);
                }
            }
        }
    }

    async fn store(&self, association: &mut Option<Association>, slice: &Synthetic) -> bool {
        if association.is_none() {
            *association = Association::for_ct(self.dimse, "CT_1").await.ok();
        }
        let Some(association) = association else { return false };
        matches!(association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await, Ok(0))
    }

    async fn post(&self, slice: &Synthetic) -> bool {
        let answer = Web::new(self.http).store("/dicom-web/studies", &[slice.file()]).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    fn expect(&self, study: &[Synthetic]) {
        let mut ledger = self.ledger.lock().expect("no sender panics");
        for slice in study {
            ledger.studies.entry(slice.study.clone()).or_default().insert(slice.sop_instance.clone());
        }
    }

    fn note(&self, slice: &Synthetic) {
        let mut ledger = self.ledger.lock().expect("no sender panics");
        ledger.bytes += slice.data_set.len() as u64;
        ledger.acknowledgements += 1;
        ledger.acknowledged.insert(slice.sop_instance.clone(), Acknowledged::of(slice));
    }
}

/// What a run has seen.
#[derive(Default)]
struct Tally {
    kills: usize,
    reindexes: usize,
    archives: usize,
    acknowledged: usize,
    checked: usize,
    bytes: u64,
}

/// Sends from all sides and kills when some number of answers has come.
async fn send_and_kill(program: Program, chance: &mut Chance, ledger: &Ledger, cycle: usize) -> Result<()> {
    let answers = || ledger.lock().expect("no sender panics").acknowledgements;
    let enough = answers() + 1 + chance.below(100);
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let first = (u32::try_from(cycle)? * SENDERS + number) * 1000;
        let (chance, ledger) = (Chance(chance.0.rotate_left(number + 1) | 1), ledger.clone());
        let (numbers, is_web) = (first..first + 1000, number == WEB);
        let sender = Sender { dimse: program.dimse, http: program.http, chance, ledger, numbers, is_web };
        senders.push(tokio::spawn(sender.run()));
    }
    until("so many are acknowledged", Duration::from_secs(180), async || (answers() >= enough).then_some(()))
        .await?;
    program.kill().await?;
    for sender in senders {
        sender.await?;
    }
    Ok(())
}

/// These instances are there, byte for byte.
async fn check(web: &Web, acknowledged: &BTreeMap<String, Acknowledged>, uids: &[String]) -> Result<()> {
    for uid in uids {
        let Acknowledged { study, series, digest } = acknowledged.get(uid).context("a UID of the ledger")?;
        let kept =
            stored_file(web, study, series, uid).await.with_context(|| format!("{uid} was acknowledged"))?;
        let kept: [u8; 32] = Sha256::digest(data_set_of(&kept)?).into();
        ensure!(kept == *digest, "{uid} was acknowledged and is another");
    }
    Ok(())
}

/// The studies list all that was acknowledged of them, and nothing that was never sent.
async fn count(web: &Web, sent: &Sent, studies: &BTreeSet<String>) -> Result<()> {
    for study in studies {
        let mut listed = BTreeSet::new();
        for row in web.json(&format!("/dicom-web/studies/{study}/instances?limit=1000")).await? {
            let uid = row["00080018"]["Value"][0].as_str().context("a row without its UID")?.to_owned();
            ensure!(listed.insert(uid.clone()), "{uid} is listed twice");
        }
        let known = sent.studies.get(study).context("a study of the ledger")?;
        ensure!(listed.is_subset(known), "study {study} has what was never sent");
        let of_study = sent.acknowledged.iter().filter(|(_, of)| of.study == *study).map(|(uid, _)| uid);
        for uid in of_study {
            ensure!(listed.contains(uid), "{uid} was acknowledged and is not listed");
        }
    }
    Ok(())
}

/// One archive, until it has taken much or time is up.
async fn live(chance: &mut Chance, tally: &mut Tally, is_over: impl Fn(&Tally) -> bool) -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let settings = folder.path().join("filmless.toml").to_string_lossy().into_owned();
    fs::write(&settings, SETTINGS)?;
    let settings = ["--config", settings.as_str()];
    let ledger = Ledger::default();
    let mut checked = BTreeSet::new();
    loop {
        let program = Program::start(&data, &settings).await?;
        send_and_kill(program, chance, &ledger, tally.kills).await?;
        tally.kills += 1;
        // No sender is left; the ledger is taken out so that nothing is locked while the server is asked.
        let sent = std::mem::take(&mut *ledger.lock().expect("no sender panics"));
        let is_anew = tally.kills.is_multiple_of(5);
        if is_anew {
            reindex(&data, settings).await?;
            tally.reindexes += 1;
        }
        let is_last = is_over(tally) || sent.bytes > MUCH;
        let program = Program::start(&data, &settings).await?;
        let uids: Vec<String> = choose(chance, &sent, &checked, is_anew || is_last);
        check(&Web::new(program.http), &sent.acknowledged, &uids).await.with_context(|| program.log())?;
        let studies = uids.iter().filter_map(|uid| Some(sent.acknowledged.get(uid)?.study.clone())).collect();
        count(&Web::new(program.http), &sent, &studies).await.with_context(|| program.log())?;
        program.kill().await?;
        tally.kills += 1;
        tally.checked += uids.len();
        checked.extend(uids);
        if is_last {
            tally.acknowledged += sent.acknowledged.len();
            tally.bytes += sent.bytes;
            tally.archives += 1;
            return Ok(());
        }
        *ledger.lock().expect("no sender panics") = sent;
    }
}

/// Those that were not checked yet, and all or some of the others.
fn choose(chance: &mut Chance, sent: &Sent, checked: &BTreeSet<String>, all: bool) -> Vec<String> {
    let (before, new): (Vec<&String>, Vec<&String>) =
        sent.acknowledged.keys().partition(|uid| checked.contains(*uid));
    let one_in = (before.len() / AGAIN).max(1);
    let again = before.into_iter().filter(|_| all || chance.below(one_in) == 0);
    new.iter().copied().chain(again).cloned().collect()
}

async fn reindex(data: &Path, [option, settings]: [&str; 2]) -> Result<()> {
    filmless(&["reindex", "--data", &data.to_string_lossy(), option, settings]).await?.well().map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn lives_through_kill_after_kill() -> Result<()> {
    let seconds =
        env::var("CRASH_SECONDS").ok().map(|text| text.parse()).transpose()?.map(Duration::from_secs);
    let seed = match env::var("CRASH_SEED") {
        Ok(text) => text.parse()?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() | 1,
    };
    let (began, mut chance, mut tally) = (Instant::now(), Chance(seed), Tally::default());
    let is_over = |tally: &Tally| match seconds {
        Some(seconds) => began.elapsed() >= seconds,
        None => tally.kills >= A_FEW,
    };
    while !is_over(&tally) {
        live(&mut chance, &mut tally, is_over).await.with_context(|| format!("CRASH_SEED={seed}"))?;
    }
    let Tally { kills, reindexes, archives, acknowledged, checked, bytes } = tally;
    println!(
        "survived {kills} kills of {archives} archives in {} s ({reindexes} indexes made anew): \
         {acknowledged} instances of {} MiB acknowledged, {checked} checks of their bytes, nothing lost (CRASH_SEED={seed})",
        began.elapsed().as_secs(),
        bytes >> 20,
    );
    Ok(())
}
