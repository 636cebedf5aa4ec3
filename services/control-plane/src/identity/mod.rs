//! Who nodes and clients are: the CA that issues their certificates and that of the port, and how a node joins.

mod args;
mod ca;
mod ca_files;
mod enrolment;
mod error;
mod join_tokens;
mod port;
mod service_accounts;

pub use args::{CertificateLife, IdentityArgs};
pub(crate) use ca::{Ca, Issued};
pub(crate) use enrolment::{Enrolment, Proof};
pub(crate) use error::IdentityError;
pub(crate) use join_tokens::{JoinTokens, NewJoinToken};
pub(crate) use port::PortCertificate;
pub(crate) use service_accounts::ServiceAccounts;
