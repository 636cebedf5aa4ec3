//! Why there is no control plane at an address, as far as it can be told from outside.

use std::{
    error::Error,
    io::{self, ErrorKind},
    iter,
};

use hearth_domain::text::{innermost_cause, printable_line};

use crate::address::Address;

/// There is no control plane at an address.
#[derive(Debug)]
pub(crate) struct Unreachable {
    address: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// Nothing listens there.
    Refused,
    /// The name of the host stands for no address.
    UnknownHost,
    /// No answer within the limit.
    Silent,
    /// Something accepts connections and closes them.
    Closed,
    /// Something answers, and it does not speak gRPC.
    NotGrpc,
    /// The certificate there is of a CA that is not known.
    UnknownCa,
    /// The certificate there is not valid, for a reason in the system's words.
    Certificate(String),
    /// The system has no certificates of CAs.
    NoCa,
    /// Something answers, and it does not speak TLS.
    NotTls,
    /// Something speaks gRPC, and does not have the services of a control plane.
    NotAControlPlane,
    /// Anything else, in the system's words.
    Other(String),
}

impl Unreachable {
    /// Reads the error of a connection or of its first call; `None` when no answer came in time.
    pub(crate) fn new(address: &Address, error: Option<&(dyn Error + 'static)>) -> Self {
        Self {
            address: address.to_string(),
            cause: error.map_or(Cause::Silent, cause),
        }
    }

    /// Something answers a call as a control plane does not.
    pub(crate) fn not_a_control_plane(address: &Address) -> Self {
        Self {
            address: address.to_string(),
            cause: Cause::NotAControlPlane,
        }
    }

    /// What is wrong, and what to do about it.
    pub(crate) fn lines(&self) -> [String; 2] {
        const NAME_IT: &str = "name its address with --control-plane or HEARTH_CONTROL_PLANE";
        const RIGHT_PORT: &str = "use the port of the control plane's --listen (7400 unless it was set), not its --admin-listen";
        let at = printable_line(&self.address);
        let (what, advice) = match &self.cause {
            Cause::Refused => (
                format!("no control plane listens at {at} (connection refused)"),
                format!("start hearth-control-plane there, or {NAME_IT}"),
            ),
            Cause::UnknownHost => (
                format!("the host of {at} is not known (no address for its name)"),
                format!("check the spelling, or {NAME_IT}"),
            ),
            Cause::Silent => (
                format!("{at} does not answer: it was asked for 10 s"),
                format!("check host and port, and firewalls in between; or {NAME_IT}"),
            ),
            Cause::Closed => (
                format!("what listens at {at} closes the connection without an answer"),
                RIGHT_PORT.to_owned(),
            ),
            Cause::NotGrpc => (
                format!(
                    "what answers at {at} is not a control plane: it does not speak gRPC without TLS"
                ),
                RIGHT_PORT.to_owned(),
            ),
            Cause::UnknownCa => (
                format!("the certificate of {at} is of a CA that is not known"),
                "name the certificate of the control plane's CA with --ca or HEARTH_CA, or in: hearth login URL --ca FILE"
                    .to_owned(),
            ),
            Cause::Certificate(why) => (
                format!("the certificate of {at} is not valid: {}", printable_line(why)),
                "check the address, the names in the certificate (--tls-names of the control plane), and the clocks"
                    .to_owned(),
            ),
            Cause::NoCa => (
                format!("the certificate of {at} cannot be checked: the system has no certificates of CAs"),
                "name that of the control plane's CA with --ca or HEARTH_CA".to_owned(),
            ),
            Cause::NotTls => (
                format!("what answers at {at} does not speak TLS"),
                format!("check the port; a control plane without TLS is at http://, on its own machine; or {NAME_IT}"),
            ),
            Cause::NotAControlPlane => (
                format!("what answers at {at} is not a control plane, or one of another version"),
                format!("{RIGHT_PORT}, and not an agent's port"),
            ),
            Cause::Other(cause) => (
                format!(
                    "cannot connect to the control plane at {at}: {}",
                    printable_line(cause)
                ),
                format!("check that hearth-control-plane runs there, or {NAME_IT}"),
            ),
        };
        [format!("hearth: {what}"), format!("  {advice}")]
    }
}

fn cause(error: &(dyn Error + 'static)) -> Cause {
    let chain: Vec<_> = iter::successors(Some(error), |&error| error.source()).collect();
    let says = |text: &str| chain.iter().any(|error| error.to_string().contains(text));
    let io = chain
        .iter()
        .find_map(|error| error.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        // Of TLS, which has no types here.
        // The second: of a CA that has the same name.
        _ if says("UnknownIssuer") || says("BadSignature") => Cause::UnknownCa,
        _ if says("invalid peer certificate") => Cause::Certificate(innermost_cause(error)),
        _ if says("corrupt message") => Cause::NotTls,
        _ if says("no native certs found") => Cause::NoCa,
        // hyper has no type for it.
        _ if says("dns error") => Cause::UnknownHost,
        Some(ErrorKind::ConnectionRefused) => Cause::Refused,
        Some(ErrorKind::TimedOut) => Cause::Silent,
        // The connection stood, and what came over it, if anything, was not HTTP/2.
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => {
            Cause::NotGrpc
        }
        _ if says("http2 error") => Cause::NotGrpc,
        _ if says("connection closed") => Cause::Closed,
        _ => Cause::Other(innermost_cause(error)),
    }
}
