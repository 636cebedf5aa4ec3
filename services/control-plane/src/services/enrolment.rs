use hearth_api::v1::{
    EnrolRequest, EnrolResponse, NodeCertificate, RenewCertificateRequest, RenewCertificateResponse,
};
use hearth_domain::Name;
use hearth_runtime::{FieldFaults, Peer};
use tonic::{Request, Response, Status};

use super::caller::certified_node;
use crate::identity::{Enrolment, IdentityError, Issued, Proof};

/// A certification request of a P-256 key has some 300 bytes, one of the longest RSA key some 2 KiB.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// A token of a service account has some kilobytes.
const MAX_PROOF_BYTES: usize = 64 * 1024;

/// `AgentRegistryService.Enrol`
pub(super) async fn enrol(
    enrolment: Option<&Enrolment>,
    request: Request<EnrolRequest>,
) -> Result<Response<EnrolResponse>, Status> {
    let enrolment = enrolment.ok_or(IdentityError::NoCa)?;
    let from = address(&request);
    let EnrolRequest {
        node,
        certificate_request,
        join_token,
        service_account_token,
    } = request.into_inner();
    let mut faults = FieldFaults::default();
    let node: Option<Name> = faults.check("node", node.parse());
    check_length(&certificate_request, &mut faults);
    if join_token.len().max(service_account_token.len()) > MAX_PROOF_BYTES {
        faults.add("join_token", "is longer than 64 KiB");
    }
    let proof = match (join_token.is_empty(), service_account_token.is_empty()) {
        (false, true) => Some(Proof::JoinToken(join_token.into())),
        (true, false) => Some(Proof::ServiceAccount(service_account_token.into())),
        _ => {
            faults.add(
                "join_token",
                "or service_account_token must be set, one of them",
            );
            None
        }
    };
    let (node, proof) = faults.complete(node.zip(proof))?;
    let issued = enrolment
        .enrol(&node, &certificate_request, &proof, from)
        .await?;
    Ok(Response::new(EnrolResponse {
        certificate: Some(message(enrolment, issued)),
    }))
}

/// `AgentRegistryService.RenewCertificate`
pub(super) async fn renew(
    enrolment: Option<&Enrolment>,
    request: Request<RenewCertificateRequest>,
) -> Result<Response<RenewCertificateResponse>, Status> {
    let enrolment = enrolment.ok_or(IdentityError::NoCa)?;
    let from = address(&request);
    let node = certified_node(&request).ok_or(IdentityError::NoCertificate)?;
    let csr = request.into_inner().certificate_request;
    let mut faults = FieldFaults::default();
    check_length(&csr, &mut faults);
    faults.complete(Some(()))?;
    let issued = enrolment.renew(&node.name, &node.key, &csr, from).await?;
    Ok(Response::new(RenewCertificateResponse {
        certificate: Some(message(enrolment, issued)),
    }))
}

fn address<T>(request: &Request<T>) -> Option<std::net::SocketAddr> {
    request.extensions().get::<Peer>()?.address
}

fn check_length(csr: &[u8], faults: &mut FieldFaults) {
    if csr.len() > MAX_REQUEST_BYTES {
        faults.add("certificate_request", "is longer than 16 KiB");
    }
}

fn message(enrolment: &Enrolment, issued: Issued) -> NodeCertificate {
    NodeCertificate {
        chain: issued.chain_pem,
        authorities: enrolment.ca().trusted().to_pem(),
        expire_time: Some(issued.not_after.into()),
        valid_seconds: issued.life.as_secs().try_into().unwrap_or(u32::MAX),
    }
}
