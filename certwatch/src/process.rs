//! The process: loads and attaches, gives up privileges, and carries questions and verdicts.
//!
//! One thread reads the ring buffer, a few wait for control, one shows metrics; the main thread alone
//! decides. Nothing that control does or fails to do delays a certificate that is already known.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use bpf_redirect::cert_validator::{CertMaps, CertValidator, Enforcement};
use bpf_redirect::privileges::{self, CapabilitySet};
use config::{Config, Enforce, WatchLibraries, WithoutVerdict};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::time::{ClockId, clock_gettime};

use crate::bench::Bench;
use crate::docket::{CASES_MAX, Case};
use crate::judge::{Control, Judge, JudgeError, Question};
use crate::libraries::Libraries;
use crate::page;
use crate::reader::{self, Sight};
use crate::tally::Tally;
use crate::verdict::{Clocks, Verdict};

/// One round of the main loop: how soon a stop is noticed.
const ROUND: Duration = Duration::from_millis(100);
/// One round while something waits for its moment.
const ROUND_WAITING: Duration = Duration::from_millis(1);
/// How often programs are looked through for further copies of OpenSSL.
const SEARCH: Duration = Duration::from_secs(10);
/// How many of them are looked at in one round at most: each may be as long as a library can be.
const LIBRARIES_A_ROUND: usize = 2;
/// How many are looked at before the start is done; those of the system come first.
const LIBRARIES_AT_START: usize = 16;
/// Threads that wait for control: so many questions are asked at the same time.
const JUDGES: usize = 4;
/// Sights and answers that wait for the main thread at most.
const MESSAGES_MAX: usize = 4096;
/// For later: attaching to further libraries, and maps on kernels before Linux 5.19.
const KEPT: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE);

/// How a run failed, by exit status.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was started: configuration or environment (exit status 2).
    Setup(anyhow::Error),
    /// It ran and can't go on (exit status 1).
    Running(anyhow::Error),
}

/// What the main thread hears.
#[derive(Debug)]
pub(crate) enum Message {
    /// From the reader.
    Sight(Sight),
    /// From a judge.
    Answer(Case, Result<Verdict, JudgeError>),
}

/// Watches until `stop` is set.
pub fn run(config: &Config, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let Some(enforcement) = enforcement(config) else {
        let error = anyhow!("ct.enforce is off: there is nothing to do; set it to alert or block");
        return Err(Failure::Setup(error));
    };
    let mut process = Process::start(config, enforcement, stop).map_err(Failure::Setup)?;
    let result = process.supervise(stop);
    notify(&[sd_notify::NotifyState::Stopping]);
    stop.store(true, Ordering::Relaxed);
    let read = process.reader.take().map(JoinHandle::join);
    tracing::info!("stopped: nothing is watched or held any more");
    match (result, read) {
        (Err(error), _) => Err(Failure::Running(error)),
        (Ok(()), Some(Ok(Err(error)))) => Err(Failure::Running(error)),
        (Ok(()), Some(Err(_))) => Err(Failure::Running(anyhow!("the reader panicked"))),
        (Ok(()), _) => Ok(()),
    }
}

fn enforcement(config: &Config) -> Option<Enforcement> {
    let watch = &config.ct.watch;
    match config.ct.enforce {
        Enforce::Off => None,
        Enforce::Alert => Some(Enforcement::Alert),
        Enforce::Block => Some(Enforcement::Block {
            hold: Duration::from_millis(watch.hold_ms.into()),
            fails_closed: watch.without_verdict == WithoutVerdict::Closed,
        }),
    }
}

/// All that a running process holds.
struct Process {
    validator: CertValidator,
    /// For `watch_libraries: auto`.
    libraries: Option<Libraries>,
    searched: Instant,
    bench: Bench,
    questions: Sender<Question>,
    messages: Receiver<Message>,
    reader: Option<JoinHandle<Result<()>>>,
    tally: Arc<Tally>,
}

impl Process {
    fn start(config: &Config, enforcement: Enforcement, stop: &Arc<AtomicBool>) -> Result<Self> {
        let mut validator = CertValidator::load(enforcement)?;
        let cgroup = match &config.ct.watch_cgroup {
            Some(path) => path.clone(),
            None => root_of_cgroups(&fs::read_to_string("/proc/self/mounts")?)
                .context("no cgroup v2 is mounted: mount one, or set ct.watch_cgroup")?,
        };
        validator.watch_cgroup(&cgroup)?;
        let tally = Arc::new(Tally::default());
        let libraries = watch_libraries(config, &mut validator, &tally)?;
        let listen = config.ct.watch.listen;
        let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;

        let user = &config.node.user;
        match privileges::drop_to(user, KEPT).context("give up privileges")? {
            privileges::Dropped::NoSuchUser(user) => tracing::warn!(
                user,
                "node.user does not exist on this machine: staying root with few capabilities"
            ),
            dropped => tracing::info!(?dropped, "gave up privileges"),
        }
        let maps = Arc::new(validator.maps().try_clone()?);
        let (sender, messages) = bounded(MESSAGES_MAX);
        let questions = start_judges(&config.api.socket, &sender)?;
        let is_gated = matches!(enforcement, Enforcement::Block { .. });
        let reader = start_reader(&validator, is_gated, sender, (&tally, stop))?;
        start_page(listener, Arc::clone(&tally), Arc::clone(&maps))?;
        tracing::info!(
            cgroup = %cgroup.display(),
            enforce = ?config.ct.enforce,
            libraries = tally.libraries.load(Ordering::Relaxed),
            metrics = %listen,
            "watching"
        );
        Ok(Self {
            validator,
            libraries,
            searched: Instant::now(),
            bench: Bench::new(enforcement, maps, Arc::clone(&tally)),
            questions,
            messages,
            reader: Some(reader),
            tally,
        })
    }

    fn supervise(&mut self, stop: &AtomicBool) -> Result<()> {
        notify(&[sd_notify::NotifyState::Ready]);
        let mut round = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let is_waiting = self.bench.is_waiting();
            match self
                .messages
                .recv_timeout(if is_waiting { ROUND_WAITING } else { ROUND })
            {
                Ok(message) => self.on_message(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("no thread is left"),
            }
            self.bench.end_holds();
            while let Some(question) = self.bench.next_due(clocks()) {
                self.ask(question);
            }
            if round.elapsed() < ROUND || stop.load(Ordering::Relaxed) {
                continue;
            }
            round = Instant::now();
            notify(&[sd_notify::NotifyState::Watchdog]);
            if self.reader.as_ref().is_none_or(JoinHandle::is_finished) {
                bail!("the ring buffer is no longer read");
            }
            self.search();
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Sight(sight) => {
                if let Some(question) = self.bench.on_sight(sight, clocks()) {
                    self.ask(question);
                }
            }
            Message::Answer(case, answer) => self.bench.on_answer(&case, answer, clocks()),
        }
    }

    /// Never waits: with more open questions than judges can take, there is no verdict.
    fn ask(&mut self, question: Question) {
        if let Err(error) = self.questions.try_send(question) {
            let Question { case, .. } = error.into_inner();
            let error = std::io::Error::from(std::io::ErrorKind::WouldBlock);
            self.bench.on_answer(&case, Err(error.into()), clocks());
        }
    }

    /// Watches copies of OpenSSL that have come since the last time, a few in each round.
    fn search(&mut self) {
        let Some(libraries) = &mut self.libraries else {
            return;
        };
        if self.searched.elapsed() >= SEARCH {
            self.searched = Instant::now();
            search(libraries);
        }
        watch_found(
            libraries,
            LIBRARIES_A_ROUND,
            &mut self.validator,
            &self.tally,
        );
    }
}

fn search(libraries: &mut Libraries) {
    if !libraries.search() {
        tracing::error!("too many files are named like OpenSSL's: further copies are not watched");
    }
}

/// Attaches to the libraries of the configuration, or to all there are: those are returned, for later.
fn watch_libraries(
    config: &Config,
    validator: &mut CertValidator,
    tally: &Tally,
) -> Result<Option<Libraries>> {
    match &config.ct.watch_libraries {
        WatchLibraries::List(paths) => {
            for path in paths {
                let probed = validator.watch_library(path)?;
                if !probed.handshakes && !probed.certificates {
                    bail!("{}: neither a libssl nor a libcrypto", path.display());
                }
                tally.add(|tally| &tally.libraries);
            }
            Ok(None)
        }
        WatchLibraries::Auto => {
            let mut libraries = Libraries::default();
            search(&mut libraries);
            watch_found(&mut libraries, LIBRARIES_AT_START, validator, tally);
            Ok(Some(libraries))
        }
    }
}

/// Watches so many of the copies that were found.
fn watch_found(
    libraries: &mut Libraries,
    count: usize,
    validator: &mut CertValidator,
    tally: &Tally,
) {
    let found = std::iter::from_fn(|| libraries.next_found());
    for path in found.take(count) {
        match validator.watch_library(&path) {
            Ok(probed) if probed.handshakes || probed.certificates => {
                tally.add(|tally| &tally.libraries);
                tracing::info!(path = %path.display(), ?probed, "watching a library");
            }
            Ok(_) => {}
            // Another program's file, which may be anything: the others are watched all the same.
            Err(error) => tracing::warn!(%error, "a library is not watched"),
        }
    }
}

/// Starts threads that ask control; questions go in here.
fn start_judges(socket: &Path, answers: &Sender<Message>) -> Result<Sender<Question>> {
    let (sender, questions) = bounded::<Question>(CASES_MAX);
    for index in 0..JUDGES {
        let (questions, answers) = (questions.clone(), answers.clone());
        let mut judge = Control::new(socket.to_owned());
        spawn(&format!("judge-{index}"), move || {
            for question in questions {
                let answer = judge.judge(&question);
                if answers
                    .send(Message::Answer(question.case, answer))
                    .is_err()
                {
                    return;
                }
            }
        })?;
    }
    Ok(sender)
}

fn start_reader(
    validator: &CertValidator,
    is_gated: bool,
    sights: Sender<Message>,
    (tally, stop): (&Arc<Tally>, &Arc<AtomicBool>),
) -> Result<JoinHandle<Result<()>>> {
    let events = validator.events()?;
    let (tally, stop) = (Arc::clone(tally), Arc::clone(stop));
    spawn("reader", move || {
        reader::run(&events, is_gated, &sights, &tally, &stop).context("read the ring buffer")
    })
}

fn start_page(listener: TcpListener, tally: Arc<Tally>, maps: Arc<CertMaps>) -> Result<()> {
    spawn("metrics", move || {
        page::serve(&listener, || match maps.counts() {
            Ok(counts) => tally.render(&counts),
            Err(error) => format!("# {error}\n"),
        });
    })?;
    Ok(())
}

/// A thread without capabilities, but for maps on kernels before Linux 5.19.
fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn(move || {
        if let Err(error) = privileges::keep(CapabilitySet::BPF) {
            tracing::warn!(%error, "a thread keeps its capabilities");
        }
        body()
    });
    thread.with_context(|| format!("start the thread {name}"))
}

/// Where cgroup v2 is mounted, out of the text of `/proc/self/mounts`.
fn root_of_cgroups(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let path = words.next()?;
        (words.next()? == "cgroup2").then(|| path.into())
    })
}

fn clocks() -> Clocks {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Clocks {
        unix_secs: unix.map_or(0, |unix| unix.as_secs()),
        boot_ns: nanoseconds(ClockId::Boottime),
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_version_2_are_found_beside_those_of_version_1() {
        let mounts = "\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
";
        let root = root_of_cgroups(mounts);
        assert_eq!(root, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(root_of_cgroups("cgroup2 /x tmpfs rw 0 0\nbad\n"), None);
    }

    #[test]
    fn off_is_no_enforcement_and_block_has_a_bound() {
        let mut config = Config::default();
        assert_eq!(enforcement(&config), None);
        config.ct.enforce = Enforce::Block;
        let expected = Enforcement::Block {
            hold: Duration::from_secs(1),
            fails_closed: false,
        };
        assert_eq!(enforcement(&config), Some(expected));
    }
}
