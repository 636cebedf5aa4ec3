//! Turns the contract in `proto/` into code, without protoc: protox parses, tonic generates.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

/// Messages that carry secrets: their `Debug` is written by hand in `proto/lib.rs`, and a test there
/// compares this list with the fields marked `debug_redact`.
const REDACTED: [&str; 10] = [
    "hearth.v1.AgentServicePrepareWorkspaceRequest",
    "hearth.v1.CreateClientResponse",
    "hearth.v1.CreateJoinTokenResponse",
    "hearth.v1.EnrolRequest",
    "hearth.v1.GitCredential",
    "hearth.v1.Neighbour",
    "hearth.v1.RegisterResponse",
    "hearth.v1.RegistryCredential",
    "hearth.v1.SecretValue",
    "hearth.v1.SetSecretRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/hearth/v1");
    let mut files = fs::read_dir("proto/hearth/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("hearth_descriptor.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let descriptors = compiler.file_descriptor_set();
    debug_assert!(descriptors.encoded_len() > 0);
    let mut config = tonic_prost_build::Config::new();
    // The CLI finds a message's descriptor by its name.
    config.enable_type_names();
    // Their order is that of their keys, so that the same message has the same bytes.
    config.btree_map(["."]);
    tonic_prost_build::configure()
        // They are handed on as they are.
        .bytes(".hearth.v1.OpenConnectionRequest")
        .bytes(".hearth.v1.OpenConnectionResponse")
        .skip_debug(REDACTED)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
