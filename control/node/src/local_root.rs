//! The copy of the root zone, from its file into the resolver (RFC 8806).

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use resolver::iterate::Resolver;
use resolver::zone::Zone;

use crate::zone_file::{self, Remark};

/// A copy of the root zone, and how old its file is in seconds.
pub(crate) struct Copy {
    zone: Arc<Zone>,
    age_secs: u64,
}

/// What a zone entry for the copy at `file` would be; `nexus check` reads it so.
#[must_use]
pub fn zone_entry(file: &Path) -> config::Zone {
    config::Zone {
        name: ".".to_owned(),
        file: file.to_owned(),
        allow_transfer: config::Networks::default(),
    }
}

/// Reads the file. A time of modification that lies ahead counts as now.
///
/// # Errors
/// Its first fault.
pub(crate) fn read(file: &Path) -> Result<Copy, Remark> {
    let read = zone_file::read(&zone_entry(file))?;
    let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|error| Remark {
        file: file.to_owned(),
        position: None,
        message: format!("has no time of modification: {error}"),
    })?;
    let age = SystemTime::now().duration_since(modified);
    Ok(Copy {
        zone: Arc::new(read.zone),
        age_secs: age.map_or(0, |age| age.as_secs()),
    })
}

/// Takes what was read into service, or says why the root servers, or an older copy, go on. None of
/// this stops anybody: the root servers know the same.
pub(crate) fn install(
    resolver: &mut Resolver,
    now_ms: u64,
    file: &Path,
    read: Result<Copy, Remark>,
) {
    let copy = match read {
        Ok(copy) => copy,
        Err(remark) => return tracing::error!(%remark, "the local root zone is not taken"),
    };
    let serial = copy.zone.serial();
    let file = file.display();
    match resolver.set_local_root(now_ms, Some((copy.zone, copy.age_secs))) {
        Ok(left_secs) => tracing::info!(%file, serial, left_secs, "local root zone in service"),
        Err(error) => tracing::error!("{file} {error}: the local root zone is not taken"),
    }
}
