//! Giving up privileges once everything that needs them is open.
//!
//! Capabilities belong to threads. Workers keep none: their sockets, maps and rings are open. The
//! main thread keeps what it needs to follow address changes of the interface.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

/// Drops every capability of the calling thread.
pub fn drop_all() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

/// Drops every capability of the calling thread but those that update the steering maps, and
/// forbids to gain any by executing a program.
pub fn keep_steering() -> io::Result<()> {
    set_no_new_privs(true)?;
    keep(CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW | CapabilitySet::BPF)
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let held = capabilities(None)?;
    let kept = held.permitted & wanted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_dropped_all_holds_no_capability_and_others_keep_theirs() {
        let before = capabilities(None).unwrap();
        let inside = std::thread::spawn(|| {
            drop_all().unwrap();
            capabilities(None).unwrap()
        });
        let inside = inside.join().unwrap();
        assert!(inside.effective.is_empty());
        assert!(inside.permitted.is_empty());
        assert_eq!(capabilities(None).unwrap().permitted, before.permitted);
    }
}
