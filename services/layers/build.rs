//! Turns the parts of containerd's API in `proto/` into code, without protoc: protox parses, tonic generates.

use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    if env::var_os("CARGO_FEATURE_ENGINE").is_none() {
        return Ok(());
    }
    let services = ["content", "images", "leases", "snapshots"];
    let files = services.map(|name| format!("containerd/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        // Layers are handed on without copies.
        .bytes(".containerd.services.content.v1.WriteContentRequest.data")
        .bytes(".containerd.services.content.v1.ReadContentResponse.data")
        .compile_fds(descriptors)?;
    Ok(())
}
