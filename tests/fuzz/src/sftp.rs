#[allow(
    dead_code,
    missing_docs,
    clippy::module_inception,
    reason = "requests are read here, and not served"
)]
#[path = "../../../services/agent/credential-helper/sftp/mod.rs"]
mod server;

/// A request to the SFTP server in workspaces is read without a panic, whatever lengths it names, and never into more than it
/// has.
pub fn sftp(packet: &[u8]) {
    let read = format!("{:?}", server::Request::read(packet));
    // Each byte is printed as a few characters at most.
    assert!(read.len() <= 1024 + 8 * packet.len(), "{read}");
}
