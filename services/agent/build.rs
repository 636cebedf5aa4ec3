//! Compiles two static programs, which the agent's binary contains: the helper in workspaces, and the one that runs in
//! containers of hearth's own.

use std::{env, path::Path, process::Command};

const PROGRAMS: [&str; 2] = ["credential-helper", "container-helper"];

fn main() {
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    for name in PROGRAMS {
        compile(name);
    }
}

fn compile(name: &str) {
    let source = format!("{name}/main.rs");
    println!("cargo::rerun-if-changed={name}");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-type", "bin"])
        .args(["--crate-name", &name.replace('-', "_")])
        .args(["--target", &variable("TARGET")])
        // Static, for images without a libc; small, since it is in the agent's binary and goes into every workspace.
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=s"])
        .args(["-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "codegen-units=1"])
        .args(["-D", "warnings", "-D", "unsafe_code"])
        .arg("-o")
        .arg(Path::new(&variable("OUT_DIR")).join(name))
        .arg(&source);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.status().expect("rustc can be started");
    assert!(status.success(), "{name} does not compile");
}
