//! Compiles the BPF programs and generates their skeletons into `OUT_DIR`.

use std::env;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

/// The product's programs, and those of the examples that measure them.
const PROGRAMS: [&str; 5] = [
    "src/bpf/dns_filter.bpf.c",
    "src/bpf/consensus_coord.bpf.c",
    "src/bpf/cert_validator.bpf.c",
    "examples/bpf/empty.bpf.c",
    "examples/bpf/status_lookup.bpf.c",
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-changed=examples/bpf");
    for source in PROGRAMS.map(Path::new) {
        let file_name = source.file_name().and_then(|name| name.to_str());
        let name = file_name.and_then(|name| name.strip_suffix(".bpf.c"));
        let name = name.expect("the table names *.bpf.c files");
        let headers = format!("/usr/include/{arch}-linux-gnu");
        let mut arguments = vec![
            "-Wall",
            // 32-bit registers and jumps: Linux 5.1, older than all else that is needed here.
            "-mcpu=v3",
            // <linux/types.h> wants <asm/types.h>, which Debian keeps in the triplet's folder.
            "-idirafter",
            &headers,
        ];
        if env::var_os("CARGO_FEATURE_KPROBE").is_some() {
            arguments.push("-DKPROBE");
        }
        SkeletonBuilder::new()
            .source(source)
            .clang_args(arguments)
            .build_and_generate(out.join(format!("{name}.skel.rs")))
            .unwrap_or_else(|error| panic!("{}: {error:?}", source.display()));
    }
}
