//! What can be asked of any loaded program by its descriptor: trial runs and run statistics.

use std::fmt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;

#[expect(clippy::cast_possible_truncation, reason = "24 bytes")]
const XDP_MD_BYTES: u32 = size_of::<libbpf_sys::xdp_md>() as u32;

#[expect(clippy::cast_possible_truncation, reason = "a few hundred bytes")]
const PROG_INFO_BYTES: u32 = size_of::<libbpf_sys::bpf_prog_info>() as u32;

/// What an XDP program wants done with a frame (`enum xdp_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The program failed; the frame is dropped and a tracepoint fires.
    Aborted,
    /// The frame is dropped.
    Drop,
    /// The frame goes on to the kernel.
    Pass,
    /// The frame goes back out of the interface it came in by.
    Transmit,
    /// The frame goes to the socket, CPU or interface that the program chose.
    Redirect,
}

/// A trial run that the kernel refused, or that returned what is no XDP action.
#[derive(Debug, thiserror::Error)]
pub enum TestRunError {
    /// `BPF_PROG_TEST_RUN` failed: no permission, a frame under 14 bytes or over a page.
    #[error("BPF_PROG_TEST_RUN: {0}")]
    Refused(#[from] io::Error),
    /// The program returned a number that is no XDP action.
    #[error("the program returned {0}, which is no XDP action")]
    UnknownAction(u32),
}

/// Where a frame of a trial run pretends to have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Index of an interface of the caller's network namespace.
    pub interface: u32,
    /// One of that interface's receive queues.
    pub queue: u32,
}

/// How often a program ran and how long that took, while statistics were enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStatistics {
    /// Completed runs.
    pub runs: u64,
    /// Time spent in them, including about two readings of the clock a run.
    pub nanoseconds: u64,
}

/// Keeps run statistics enabled, for every program of the machine, until it is dropped.
#[derive(Debug)]
pub struct StatisticsEnabled {
    _fd: OwnedFd,
}

/// Runs an XDP program over a copy of `frame`, `repeat` times, and tells its last action.
///
/// The frame arrives on queue 0 of the loopback interface unless `arrival` says otherwise.
/// Redirects are decided but not carried out; counters and other maps change as in earnest.
pub fn test_run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    arrival: Option<Arrival>,
    repeat: u32,
) -> Result<Action, TestRunError> {
    let bytes =
        u32::try_from(frame.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let repeat = i32::try_from(repeat).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let context = arrival.map(|arrival| libbpf_sys::xdp_md {
        data_end: bytes,
        ingress_ifindex: arrival.interface,
        rx_queue_index: arrival.queue,
        ..Default::default()
    });
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as u64,
        data_in: frame.as_ptr().cast(),
        data_size_in: bytes,
        repeat,
        ..Default::default()
    };
    if let Some(context) = &context {
        options.ctx_in = std::ptr::from_ref(context).cast();
        options.ctx_size_in = XDP_MD_BYTES;
    }
    // JUSTIFICATION: libbpf-rs offers this only on a `ProgramMut` of a live object.
    // SAFETY: `options` has its size in `sz`; its pointers are null or cover the bytes stated
    // beside them, and `frame` and `context` outlive the call. The kernel only reads those.
    check(unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &mut options) })?;
    Action::from_raw(options.retval)
}

/// How often `program` ran and for how long while statistics were enabled.
pub fn run_statistics(program: BorrowedFd<'_>) -> io::Result<RunStatistics> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut bytes = PROG_INFO_BYTES;
    // JUSTIFICATION: libbpf-rs reads these only by walking all programs of the machine.
    // SAFETY: `info` is zeroed, so it asks for no arrays; `bytes` is its size.
    check(unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut bytes)
    })?;
    Ok(RunStatistics {
        runs: info.run_cnt,
        nanoseconds: info.run_time_ns,
    })
}

/// Starts `run_cnt` and `run_time_ns` for all programs; costs each run two clock readings.
pub fn enable_statistics() -> io::Result<StatisticsEnabled> {
    // JUSTIFICATION: libbpf-rs has no binding for it.
    // SAFETY: takes a plain number.
    let fd = check(unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) })?;
    // SAFETY: `check` passed, so the kernel made `fd` just now, for us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(StatisticsEnabled { _fd: fd })
}

/// libbpf returns `-errno`; everything else is the call's own result.
pub(crate) fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::from_raw_os_error(-result))
    } else {
        Ok(result)
    }
}

impl Action {
    fn from_raw(action: u32) -> Result<Self, TestRunError> {
        Ok(match action {
            libbpf_sys::XDP_ABORTED => Self::Aborted,
            libbpf_sys::XDP_DROP => Self::Drop,
            libbpf_sys::XDP_PASS => Self::Pass,
            libbpf_sys::XDP_TX => Self::Transmit,
            libbpf_sys::XDP_REDIRECT => Self::Redirect,
            unknown => return Err(TestRunError::UnknownAction(unknown)),
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "XDP_ABORTED",
            Self::Drop => "XDP_DROP",
            Self::Pass => "XDP_PASS",
            Self::Transmit => "XDP_TX",
            Self::Redirect => "XDP_REDIRECT",
        })
    }
}
