//! Attaches a program to a function of a library, in every process.
//!
//! From Linux 6.6 on by `BPF_TRACE_UPROBE_MULTI`, for which the capabilities suffice that load a program;
//! before that by a perf event, for which the kernel wants CAP_SYS_ADMIN.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use libbpf_rs::{AsRawLibbpf as _, Link, OpenProgramMut, ProgramMut, UprobeOpts, libbpf_sys};

use super::library::Function;
use crate::program::check;

/// The first Linux with `BPF_TRACE_UPROBE_MULTI`.
const MULTI_SINCE: (u32, u32) = (6, 6);
/// Every process that maps the library, for a perf event.
const ANY_PROCESS: i32 = -1;

/// A program on a function. It goes away when this is dropped.
#[derive(Debug)]
pub(super) enum Probe {
    Multi { _link: OwnedFd },
    Event { _link: Link },
}

/// How programs are attached on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Multi,
    Event,
}

impl Way {
    /// What this kernel offers.
    pub(super) fn of_kernel() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::of_release(&release)
    }

    fn of_release(release: &str) -> Self {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version >= MULTI_SINCE {
            Self::Multi
        } else {
            Self::Event
        }
    }

    /// Tells the verifier, before the program is loaded, how it will be attached.
    pub(super) fn prepare(self, program: &mut OpenProgramMut<'_>) -> io::Result<()> {
        if self == Self::Event {
            return Ok(());
        }
        let program = program.as_libbpf_object().as_ptr();
        // JUSTIFICATION: libbpf-rs has no name for this type.
        // SAFETY: the pointer is that of an open object's program, which `program` borrows. The
        // call sets a number in it.
        check(unsafe {
            libbpf_sys::bpf_program__set_expected_attach_type(
                program,
                libbpf_sys::BPF_TRACE_UPROBE_MULTI,
            )
        })?;
        Ok(())
    }

    /// Has `program` run when `function` of the library at `path` begins, or returns.
    pub(super) fn attach(
        self,
        program: &ProgramMut<'_>,
        path: &Path,
        (function, cookie): (Function, u64),
        on_return: bool,
    ) -> Result<Probe, libbpf_rs::Error> {
        match self {
            Self::Event => {
                let options = UprobeOpts {
                    cookie,
                    retprobe: on_return,
                    ..UprobeOpts::default()
                };
                let link =
                    program.attach_uprobe_with_opts(ANY_PROCESS, path, function.offset, options)?;
                Ok(Probe::Event { _link: link })
            }
            Self::Multi => {
                let link = create(program, path, (function, cookie), on_return)?;
                Ok(Probe::Multi { _link: link })
            }
        }
    }
}

fn create(
    program: &ProgramMut<'_>,
    path: &Path,
    (function, cookie): (Function, u64),
    on_return: bool,
) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let offset = function.offset as u64;
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as u64,
        ..Default::default()
    };
    options.__bindgen_anon_1.uprobe_multi =
        libbpf_sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
            flags: if on_return {
                libbpf_sys::BPF_F_UPROBE_MULTI_RETURN
            } else {
                0
            },
            cnt: 1,
            path: path.as_ptr(),
            offsets: &raw const offset,
            cookies: &raw const cookie,
            ..Default::default() // Of every process.
        };
    // JUSTIFICATION: libbpf-rs attaches by perf events alone.
    // SAFETY: `options` carries its size. The arrays have `cnt` elements each and, like the path, which
    // ends with NUL, outlive the call; the kernel copies them.
    let link = check(unsafe {
        libbpf_sys::bpf_link_create(
            program.as_fd().as_raw_fd(),
            0,
            libbpf_sys::BPF_TRACE_UPROBE_MULTI,
            &raw const options,
        )
    })?;
    // SAFETY: `check` passed, so the kernel made `link` just now, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_before_6_6_get_perf_events() {
        for (release, way) in [
            ("6.18.44-fc-v509\n", Way::Multi),
            ("6.6.0", Way::Multi),
            ("6.5.13-1", Way::Event),
            ("5.17", Way::Event),
            ("10.1", Way::Multi),
            ("", Way::Event),
        ] {
            assert_eq!(Way::of_release(release), way, "{release}");
        }
    }
}
