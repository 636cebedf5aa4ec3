//! Compiles the credential helper as a static program, which the agent's binary contains.

use std::{env, path::Path, process::Command};

const SOURCE: &str = "credential-helper/main.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-type", "bin"])
        .args(["--crate-name", "credential_helper"])
        .args(["--target", &variable("TARGET")])
        // Static, for images without a libc; small, since it is in the agent's binary and in every workspace's folder.
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=s"])
        .args(["-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "codegen-units=1"])
        .args(["-D", "warnings", "-F", "unsafe_code"])
        .arg("-o")
        .arg(Path::new(&variable("OUT_DIR")).join("credential-helper"))
        .arg(SOURCE);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.status().expect("rustc can be started");
    assert!(status.success(), "the credential helper does not compile");
}
