//! Giving up privileges once everything that needs them is open: for the processes that hold programs.
//!
//! User and capabilities belong to threads: the main thread gives up before it starts any other.
//! Threads whose sockets, maps and rings are open keep no capability; the main thread keeps what it
//! needs to follow changes: of an interface's addresses, of the libraries that are in use.

use std::fs;
use std::io;

use rustix::process::{DumpableBehavior, Gid, Uid, getuid, set_dumpable_behavior};
pub use rustix::thread::CapabilitySet;
use rustix::thread::{
    CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

const PASSWD: &str = "/etc/passwd";

/// The user id of `user`, if there is such a user.
pub fn uid_of(user: &str) -> Option<u32> {
    let passwd = fs::read_to_string(PASSWD).ok()?;
    find_user(&passwd, user).map(|(uid, _)| uid.as_raw())
}

/// Who is to own the UDP sockets that both planes may bind: `user`, if we may give sockets away.
pub fn socket_owner(user: &str) -> Option<u32> {
    uid_of(user).filter(|_| getuid().is_root())
}

/// What became of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Now running as this user.
    To(String),
    /// Not started as root: nothing to give up.
    NotRoot,
    /// No such user on this machine: still root, without capabilities.
    NoSuchUser(String),
}

/// Becomes `user`, gives up every capability but those in `kept`, and forbids to gain any by
/// executing a program. Control runs as the same user: it may not trace us or read our memory.
/// Call it while there is one thread.
pub fn drop_to(user: &str, kept: CapabilitySet) -> io::Result<Dropped> {
    let dropped = if !getuid().is_root() {
        Dropped::NotRoot
    } else if let Some((uid, gid)) = find_user(&fs::read_to_string(PASSWD)?, user) {
        set_keep_capabilities(true)?;
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Dropped::To(user.to_owned())
    } else {
        Dropped::NoSuchUser(user.to_owned())
    };
    keep(kept)?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(dropped)
}

/// Gives up every capability of the calling thread.
pub fn drop_capabilities() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

/// Gives up every capability of the calling thread but these.
pub fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let kept = capabilities(None)?.permitted & wanted;
    let inheritable = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable,
    };
    Ok(set_capabilities(None, sets)?)
}

/// User and group id out of the text of `/etc/passwd`. System users are local, so no name service
/// is asked.
fn find_user(passwd: &str, user: &str) -> Option<(Uid, Gid)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != user {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_gave_up_holds_no_capability_and_others_keep_theirs() {
        let before = capabilities(None).unwrap();
        let inside = std::thread::spawn(|| {
            drop_capabilities().unwrap();
            capabilities(None).unwrap()
        });
        let inside = inside.join().unwrap();
        assert!(inside.effective.is_empty());
        assert!(inside.permitted.is_empty());
        assert_eq!(capabilities(None).unwrap().permitted, before.permitted);
    }

    #[test]
    fn users_are_found_by_whole_name_and_broken_lines_are_no_users() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nnexus2:x:7:8::/:\nnexus:x:101:102::/:\nbad:x:\n";
        assert_eq!(
            find_user(passwd, "nexus"),
            Some((Uid::from_raw(101), Gid::from_raw(102)))
        );
        assert_eq!(find_user(passwd, "nex"), None);
        assert_eq!(find_user(passwd, "bad"), None);
    }

    #[test]
    fn root_becomes_the_user_and_keeps_only_what_it_asked_for() {
        if !getuid().is_root() {
            println!("skipped: needs root to become another user");
            return;
        }
        let result = std::thread::spawn(|| {
            let dropped = drop_to("nobody", CapabilitySet::NET_RAW | CapabilitySet::BPF)?;
            Ok::<_, io::Error>((dropped, capabilities(None)?, getuid()))
        });
        let (dropped, sets, _) = result.join().unwrap().unwrap();
        let kept = CapabilitySet::NET_RAW | CapabilitySet::BPF;
        assert_eq!(dropped, Dropped::To("nobody".to_owned()));
        assert!(kept.contains(sets.effective), "{sets:?}");
    }
}
