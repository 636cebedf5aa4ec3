//! Who may call what. One table says for every call who may make it ([`table`]), and one layer in front of all services asks
//! callers for their proof and puts a [`Caller`] in the extensions of the call ([`layer`]). docs/access.md has the table.

mod admin_token;
mod callers;
mod client;
mod clients;
mod issuer;
mod layer;
mod table;
mod token;

pub(crate) use callers::Access;
pub(crate) use client::Caller;
pub(crate) use issuer::CertificateIssuer;
pub(crate) use layer::check;
