//! Attaching and detaching on a veth of the test's own network namespace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use bpf_redirect::{
    AttachError, AttachMode, DnsFilter, InterfaceError, LoadError, interface_index,
};
use libbpf_rs::libbpf_sys;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Set for the copy of this binary that attaches and waits to be killed.
const VICTIM: &str = "NEXUS_TEST_ATTACH_VICTIM";
/// An exited process has closed its descriptors; its link may be freed a little later.
const DETACH_POLLS_MAX: u32 = 1000;

/// Runs `body` with a loaded filter beside a veth pair, `nx0` and `nx1`, that is up.
fn with_veth(body: impl FnOnce(DnsFilter) + Send) {
    let Some(filter) = support::load() else {
        return;
    };
    support::in_namespace(|| {
        support::run("ip link add nx0 type veth peer name nx1");
        support::run("ip link set nx0 up");
        support::run("ip link set nx1 up");
        body(filter);
    });
}

/// Id of the program attached to `interface` in `mode`, 0 for none.
fn attached_id(interface: &str, mode: AttachMode) -> u32 {
    let index = i32::try_from(interface_index(interface).unwrap()).unwrap();
    let flags = match mode {
        AttachMode::Native => libbpf_sys::XDP_FLAGS_DRV_MODE,
        AttachMode::Generic => libbpf_sys::XDP_FLAGS_SKB_MODE,
    };
    let mut id = 0;
    // SAFETY: `id` is written before the call returns.
    let result =
        unsafe { libbpf_sys::bpf_xdp_query_id(index, i32::try_from(flags).unwrap(), &mut id) };
    assert_eq!(result, 0);
    id
}

fn is_attached(mode: AttachMode) -> bool {
    attached_id("nx0", mode) != 0
}

/// Gives up all capabilities of the calling thread.
fn drop_capabilities() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets).unwrap();
}

#[test]
fn attached_in_the_mode_asked_for_until_detached() {
    with_veth(|mut filter| {
        assert_eq!(filter.attached(), None);
        for (mode, other) in [
            (AttachMode::Native, AttachMode::Generic),
            (AttachMode::Generic, AttachMode::Native),
        ] {
            filter.attach("nx0", mode).unwrap();
            assert_eq!(filter.attached(), Some(mode));
            assert!(is_attached(mode));
            assert!(!is_attached(other));
            filter.detach();
            assert_eq!(filter.attached(), None);
            assert!(!is_attached(mode));
        }
    });
}

#[test]
fn attaching_again_moves_the_program() {
    with_veth(|mut filter| {
        filter.attach("nx0", AttachMode::Native).unwrap();
        filter.attach("nx0", AttachMode::Generic).unwrap();
        assert!(!is_attached(AttachMode::Native));
        filter.attach("nx1", AttachMode::Native).unwrap();
        assert!(!is_attached(AttachMode::Generic));
        assert_ne!(attached_id("nx1", AttachMode::Native), 0);
    });
}

#[test]
fn dropped_filter_is_detached() {
    with_veth(|mut filter| {
        filter.attach("nx0", AttachMode::Native).unwrap();
        drop(filter);
        assert!(!is_attached(AttachMode::Native));
    });
}

#[test]
fn missing_interface_is_named() {
    with_veth(|mut filter| {
        for name in [
            "nx9",
            "",
            "../nx0",
            "a-name-that-is-longer-than-any-interface",
        ] {
            let error = filter.attach(name, AttachMode::Native).unwrap_err();
            let AttachError::Interface(InterfaceError::NotFound { interface }) = error else {
                panic!("{name}: {error}");
            };
            assert_eq!(interface, name);
        }
    });
}

#[test]
fn driver_without_native_mode_is_refused_and_takes_generic_mode() {
    with_veth(|mut filter| {
        let error = filter.attach("lo", AttachMode::Native).unwrap_err();
        assert!(matches!(error, AttachError::Unsupported { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "the driver of lo does not support XDP in native mode"
        );
        filter.attach("lo", AttachMode::Generic).unwrap();
        assert_ne!(attached_id("lo", AttachMode::Generic), 0);
    });
}

#[test]
fn second_program_is_refused_in_either_mode_and_the_first_stays() {
    with_veth(|mut filter| {
        let mut second = DnsFilter::load().unwrap();
        filter.attach("nx0", AttachMode::Native).unwrap();
        let first = attached_id("nx0", AttachMode::Native);
        for mode in [AttachMode::Native, AttachMode::Generic] {
            let error = second.attach("nx0", mode).unwrap_err();
            assert!(
                matches!(error, AttachError::Occupied { .. }),
                "{mode}: {error}"
            );
            assert_eq!(second.attached(), None);
        }
        assert_eq!(attached_id("nx0", AttachMode::Native), first);
    });
}

#[test]
fn too_large_mtu_is_named() {
    with_veth(|mut filter| {
        support::run("ip link set nx1 mtu 9000");
        let error = filter.attach("nx0", AttachMode::Native).unwrap_err();
        assert!(matches!(error, AttachError::MtuTooLarge { .. }), "{error}");
        support::run("ip link set nx1 mtu 1500");
        filter.attach("nx0", AttachMode::Native).unwrap();
    });
}

#[test]
fn loading_without_capabilities_is_a_matter_of_permission() {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            drop_capabilities();
            DnsFilter::load().unwrap_err()
        });
        let error = thread.join().unwrap();
        assert!(matches!(error, LoadError::PermissionDenied), "{error}");
    });
}

#[test]
fn what_is_held_works_on_without_capabilities() {
    with_veth(|mut filter| {
        filter.attach("nx0", AttachMode::Native).unwrap();
        let cell = filter.deadlines().cell(3);
        let socket = support::xsk();
        drop_capabilities();
        cell.extend_until(u64::MAX);
        assert!(is_attached(AttachMode::Native));
        filter.verdicts().unwrap();
        filter.set_socket(3, socket.as_fd()).unwrap();
        filter.detach();
        assert!(!is_attached(AttachMode::Native));
    });
}

#[test]
fn nothing_stays_attached_after_sigkill() {
    if std::env::var_os(VICTIM).is_some() {
        attach_and_wait();
    }
    with_veth(|filter| {
        drop(filter);
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "nothing_stays_attached_after_sigkill",
            ])
            .env(VICTIM, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(victim.stdout.take().unwrap());
        let ready = output
            .lines()
            .map_while(Result::ok)
            .any(|line| line.ends_with("attached"));
        let attached = is_attached(AttachMode::Native);
        victim.kill().unwrap();
        let status = victim.wait().unwrap();
        assert!(ready && attached, "{status}");
        assert_eq!(status.signal(), Some(9));
        for _ in 0..DETACH_POLLS_MAX {
            if !is_attached(AttachMode::Native) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the program outlived its process");
    });
}

/// The victim: attaches, says so, and waits until it is killed or its parent is gone.
fn attach_and_wait() -> ! {
    let mut filter = DnsFilter::load().unwrap();
    filter.attach("nx0", AttachMode::Native).unwrap();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "attached").unwrap();
    stdout.flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
    std::process::exit(1);
}
