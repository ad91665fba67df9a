//! Copies of the log in object stores: which the configuration names, and the thread that keeps them.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ctlog::copy::{Copies, CopyStatus, Place, S3Settings, open_s3};
use tokio::sync::watch;

use super::LogSetupError;
use crate::admin::CtCopyStatus;

/// A copy that has failed for so long is a problem; until then, its store may come back.
const FAILING: Duration = Duration::from_secs(60);

/// The places of a configuration.
pub(super) fn read(copies: &[config::CtCopy]) -> Result<Vec<Place>, LogSetupError> {
    let all = copies.iter().enumerate().map(|(index, copy)| {
        let bad = |message: String| LogSetupError::Value {
            key: format!("ct.copies[{index}]"),
            message,
        };
        let key = copy.key().map_err(|error| LogSetupError::File {
            key: "ct.copies",
            path: error.path,
            message: error.message,
        })?;
        let (bucket, prefix) = copy.bucket_and_prefix();
        let settings = S3Settings {
            bucket: bucket.to_owned(),
            endpoint: copy.endpoint.clone(),
            region: copy.region.clone(),
            access_key: key.access,
            secret_key: key.secret,
        };
        let tls = monitor::machine_tls().map_err(|error| bad(error.to_string()))?;
        let store = open_s3(settings, tls).map_err(|error| bad(error.to_string()))?;
        let interval = Duration::from_millis(copy.interval_ms.into());
        let place = Place::new(name(copy), store, prefix, interval);
        Ok(match copy.conditional_writes {
            true => place,
            false => place.without_conditions(),
        })
    });
    all.collect()
}

/// For people: two stores may have buckets of one name.
fn name(copy: &config::CtCopy) -> String {
    match &copy.endpoint {
        Some(endpoint) => format!("{} at {endpoint}", copy.url),
        None => copy.url.clone(),
    }
}

/// Keeps them on a thread of their own, which ends when it is told or the log has ended.
pub(super) fn start(
    copies: Copies,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = thread::Builder::new().name("ct-copy".to_owned());
    thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = copies.follow() => {}
                _ = stopped.changed() => {} // Its sender is gone: the same.
            }
        });
        // A look-up of a store's name may hang: nobody waits for it.
        runtime.shutdown_background();
    })
}

/// For `nexus ct status`.
pub(super) fn status(copies: &Copies, problems: &mut Vec<String>) -> Vec<CtCopyStatus> {
    let all = copies.status().into_iter();
    all.map(|copy| {
        problems.extend(problem(&copy));
        CtCopyStatus {
            place: copy.place,
            shard: copy.shard,
            size: copy.size,
            behind_entries: copy.lag_entries,
            behind_secs: copy.lag.map(|lag| lag.as_secs()),
            fault: copy.fault.map(|(message, _)| message),
        }
    })
    .collect()
}

fn problem(copy: &CopyStatus) -> Option<String> {
    let (message, since) = copy.fault.as_ref()?;
    let is_problem = *since >= FAILING;
    is_problem.then(|| {
        format!(
            "shard {}: its copy in {} has been failing for {} s: {message}",
            copy.shard,
            copy.place,
            since.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_with(fault: Option<(&str, u64)>) -> CopyStatus {
        CopyStatus {
            place: "s3://logs".to_owned(),
            shard: "s".to_owned(),
            size: Some(7),
            lag_entries: 1,
            lag: None,
            fault: fault.map(|(text, secs)| (text.to_owned(), Duration::from_secs(secs))),
        }
    }

    #[test]
    fn copy_that_fails_for_long_is_a_problem() {
        assert_eq!(problem(&status_with(None)), None);
        assert_eq!(problem(&status_with(Some(("down", 59)))), None);
        assert_eq!(
            problem(&status_with(Some(("down", 60)))).unwrap(),
            "shard s: its copy in s3://logs has been failing for 60 s: down"
        );
    }

    #[test]
    fn place_needs_the_files_of_its_key_and_its_name_says_where_but_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut copy = config::CtCopy {
            url: "s3://logs/ct".to_owned(),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            region: "lab".to_owned(),
            access_key_file: file("id"),
            secret_key_file: file("secret"),
            interval_ms: 100,
            conditional_writes: false,
        };
        std::fs::write(file("id"), "writer").unwrap();
        let error = read(std::slice::from_ref(&copy)).unwrap_err().to_string();
        assert!(error.starts_with("ct.copies: "), "{error}");
        assert!(error.contains("/secret"), "{error}");
        std::fs::write(file("secret"), "sesame").unwrap();
        let places = read(std::slice::from_ref(&copy)).unwrap();
        assert_eq!(places[0].name(), "s3://logs/ct at http://127.0.0.1:9");
        assert!(!format!("{places:?}").contains("sesame"));
        copy.endpoint = Some("http://[::1".to_owned());
        let error = read(&[copy]).unwrap_err().to_string();
        assert!(error.starts_with("ct.copies[0]: "), "{error}");
    }
}
