//! Zones copied from a real primary: whole, in steps, from the disk, and until they expire.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use node::transfer_in::{TransferIn, Update};
use resolver::zone::{ReceiveLimits, Records};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::common::{PATIENCE, PORT, own_address};

const APEX: &[u8] = b"\x07example\0";

fn zone(serial: u32, hosts: u32) -> String {
    let mut text = format!(
        "@ 60 SOA ns hostmaster {serial} 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n"
    );
    for host in 0..hosts {
        text.push_str(&format!("host{host} 60 MX 5 mail{host}.example.\n"));
    }
    text
}

/// A knotd that keeps a journal, so that it can answer IXFR.
pub(crate) struct Primary {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) address: Ipv4Addr,
}

impl Primary {
    /// Of the zone `example.`; `None` where knotd is not installed.
    pub(crate) fn start(text: &str) -> Option<Self> {
        Self::start_of("example.", text, None)
    }

    /// Of this zone; sends NOTIFY to `secondary` if there is one.
    pub(crate) fn start_of(zone: &str, text: &str, secondary: Option<Ipv4Addr>) -> Option<Self> {
        Self::start_signing(zone, text, secondary, None)
    }

    /// Gives the zone only to who signs with the key `key.example.` with this secret in base64.
    pub(crate) fn start_signing(
        zone: &str,
        text: &str,
        secondary: Option<Ipv4Addr>,
        secret: Option<&str>,
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let dir = folder.path().display();
        let (remote, notify) = match secondary {
            Some(secondary) => (
                format!(
                    "remote:\n  - id: secondary\n    address: {secondary}@{PORT}\n    via: {address}\n"
                ),
                "    notify: secondary\n",
            ),
            None => (String::new(), ""),
        };
        let (key, acl) = match secret {
            Some(secret) => (
                format!(
                    "key:\n  - id: key.example.\n    algorithm: hmac-sha512\n    secret: {secret}\n"
                ),
                "    key: key.example.\n",
            ),
            None => (String::new(), ""),
        };
        let configuration = format!(
            "server:\n  rundir: {dir}\n  listen: {address}@{PORT}\ndatabase:\n  storage: {dir}\n\
             {key}{remote}acl:\n  - id: all\n    action: transfer\n    address: 127.0.0.0/8\n{acl}\
             zone:\n  - domain: {zone}\n    file: {dir}/zone\n    zonefile-sync: -1\n    \
             zonefile-load: difference\n    acl: all\n    semantic-checks: off\n{notify}"
        );
        std::fs::write(folder.path().join("conf"), configuration).unwrap();
        std::fs::write(folder.path().join("zone"), text).unwrap();
        let child = spawn(folder.path())?;
        Some(Self {
            child,
            folder,
            address,
        })
    }

    pub(crate) fn change(&self, text: &str) {
        std::fs::write(self.folder.path().join("zone"), text).unwrap();
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-HUP", &id]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn copying(&self, folder: &Path) -> TransferIn {
        let primaries = vec![SocketAddr::from((self.address, PORT))];
        let limits = ReceiveLimits::default();
        TransferIn::new(APEX, primaries, Some(folder.to_owned()), limits).unwrap()
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(folder: &Path) -> Option<Child> {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let command = |program: &str| {
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(folder.join("conf"))
            .stdin(Stdio::null());
        command
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap());
        command.spawn()
    };
    command("/usr/sbin/knotd")
        .or_else(|_| command("knotd"))
        .ok()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test)
}

async fn next(updates: &mut mpsc::Receiver<Update>) -> Update {
    loop {
        match timeout(PATIENCE, updates.recv()).await.unwrap().unwrap() {
            Update::Confirmed => {}
            update => return update,
        }
    }
}

/// Asks again and again until the primary has what is expected of it.
async fn next_waking(updates: &mut mpsc::Receiver<Update>, waker: &Notify) -> Update {
    let wait = async {
        loop {
            waker.notify_one();
            match timeout(Duration::from_millis(200), updates.recv()).await {
                Ok(Some(Update::Confirmed)) | Err(_) => {}
                Ok(update) => return update.unwrap(),
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap()
}

fn hosts(records: &Records) -> usize {
    records.iter().filter(|record| record.rtype == 15).count()
}

#[test]
fn zone_comes_whole_then_in_steps_and_is_there_again_after_a_restart() {
    let Some(mut primary) = Primary::start(&zone(1, 2_000)) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let copying = primary.copying(folder.path());
        let waker = copying.waker();
        let (sender, mut updates) = mpsc::channel(4);
        let task = tokio::spawn(copying.run(sender));
        let Update::Version {
            serial: 1,
            records,
            deltas,
        } = next(&mut updates).await
        else {
            panic!("no first version");
        };
        assert_eq!(
            (hosts(&records), records.len(), deltas.len()),
            (2_000, 2_003, 0)
        );
        primary.change(&zone(2, 2_001));
        let version = next_waking(&mut updates, &waker).await;
        let Update::Version {
            serial: 2,
            records,
            deltas,
        } = version
        else {
            panic!("{version:?}");
        };
        assert_eq!(hosts(&records), 2_001);
        assert_eq!(deltas.len(), 1);
        assert_eq!((deltas[0].from, deltas[0].to), (1, 2));
        assert_eq!((deltas[0].deleted.len(), deltas[0].added.len()), (1, 2));
        drop(updates);
        timeout(PATIENCE, task).await.unwrap().unwrap();
        // Without any primary the disk has it.
        primary.stop();
        let (sender, mut updates) = mpsc::channel(4);
        tokio::spawn(primary.copying(folder.path()).run(sender));
        let Update::Version {
            serial: 2, records, ..
        } = next(&mut updates).await
        else {
            panic!("no copy");
        };
        assert_eq!(hosts(&records), 2_001);
    });
}

#[test]
fn a_primary_that_cannot_go_on_from_our_serial_sends_all_of_it() {
    let Some(primary) = Primary::start(&zone(7, 10)) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // A copy of a version that the primary has never had.
    std::fs::write(folder.path().join("example.zone"), zone(3, 4)).unwrap();
    run(async {
        let (sender, mut updates) = mpsc::channel(4);
        let copying = primary.copying(folder.path());
        let waker = copying.waker();
        tokio::spawn(copying.run(sender));
        let Update::Version {
            serial: 3, records, ..
        } = next(&mut updates).await
        else {
            panic!("no copy");
        };
        assert_eq!(hosts(&records), 4);
        let Update::Version {
            serial: 7,
            records,
            deltas,
        } = next_waking(&mut updates, &waker).await
        else {
            panic!("no new version");
        };
        assert_eq!((hosts(&records), deltas.len()), (10, 0));
    });
}

#[test]
fn zone_that_nobody_confirms_expires_and_an_expired_copy_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.zone");
    std::fs::write(&file, zone(3, 4)).unwrap();
    let nobody = vec![SocketAddr::from((own_address(), PORT))];
    let copying = || {
        let folder = Some(folder.path().to_owned());
        TransferIn::new(APEX, nobody.clone(), folder, ReceiveLimits::default()).unwrap()
    };
    let date = |age_secs: u64| {
        let file = std::fs::File::options().append(true).open(&file).unwrap();
        let age = Duration::from_secs(age_secs);
        file.set_modified(std::time::SystemTime::now() - age)
            .unwrap();
    };
    run(async {
        date(86_400 - 2); // Two seconds before it expires.
        let (sender, mut updates) = mpsc::channel(4);
        tokio::spawn(copying().run(sender));
        let first = next(&mut updates).await;
        assert!(
            matches!(first, Update::Version { serial: 3, .. }),
            "{first:?}"
        );
        let second = next(&mut updates).await;
        assert!(matches!(second, Update::Expired), "{second:?}");
        date(86_401);
        let (sender, mut updates) = mpsc::channel(4);
        tokio::spawn(copying().run(sender));
        let nothing = timeout(Duration::from_millis(500), updates.recv()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    });
}

#[test]
fn a_primary_that_lags_behind_does_not_keep_the_next_one_from_being_asked() {
    let (Some(old), Some(new)) = (Primary::start(&zone(2, 1)), Primary::start(&zone(9, 5))) else {
        eprintln!("skipped: knotd is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("example.zone"), zone(3, 4)).unwrap();
    run(async {
        let primaries = [&old, &new].map(|primary| SocketAddr::from((primary.address, PORT)));
        let kept = Some(folder.path().to_owned());
        let limits = ReceiveLimits::default();
        let copying = TransferIn::new(APEX, primaries.to_vec(), kept, limits).unwrap();
        let waker = copying.waker();
        let (sender, mut updates) = mpsc::channel(4);
        tokio::spawn(copying.run(sender));
        let first = next(&mut updates).await;
        assert!(
            matches!(first, Update::Version { serial: 3, .. }),
            "{first:?}"
        );
        let second = next_waking(&mut updates, &waker).await;
        assert!(
            matches!(second, Update::Version { serial: 9, .. }),
            "{second:?}"
        );
    });
}
