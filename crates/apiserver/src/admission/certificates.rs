//! `CertificateApproval`, `CertificateSigning` and `CertificateSubjectRestriction`: who may let which signer sign what.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::field::go_quote;
use machinery::status::GroupName;
use machinery::{Status, Value};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::{Operation, Plugin, Review, Step, Surroundings};
use crate::authz::{Attributes, Decision, Union};
use crate::identity::{Identity, MASTERS};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
/// Signs certificates of clients of the API server.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Who may decide on requests to a signer.
#[derive(Debug)]
pub(super) struct CertificateApproval {
    /// Who may do what.
    pub authorizer: Arc<Union>,
}

/// Who may put a certificate into a request.
#[derive(Debug)]
pub(super) struct CertificateSigning {
    /// Who may do what.
    pub authorizer: Arc<Union>,
}

/// Nobody becomes an administrator by a certificate.
#[derive(Debug)]
pub(super) struct CertificateSubjectRestriction;

fn is_update_of(review: &Review<'_>, subresource: &str) -> bool {
    review.served.is(GROUP, REQUESTS)
        && review.subresource == subresource
        && review.operation == Operation::Update
}

fn forbidden(name: &str, why: &str) -> Status {
    Status::forbidden(GroupName { group: GROUP, name: REQUESTS }, name, why)
}

/// Whether somebody may act for a signer, by its name or for all signers of its domain.
async fn may_act_for(authorizer: &Union, identity: &Identity, (verb, signer): (&str, &str)) -> bool {
    let signers = GroupName { group: GROUP, name: "signers" };
    let domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*"));
    for name in [Some(signer), domain.as_deref()].into_iter().flatten() {
        let asked = Attributes { name, ..Attributes::of_resource(identity, verb, signers) };
        if let Decision::Allow(_) = authorizer.authorize(&asked).await {
            return true;
        }
    }
    false
}

/// 403 unless the writer may act for the signer of the request.
fn check<'a>(review: &'a Review<'a>, authorizer: &'a Union, verb: &'static str) -> Step<'a> {
    Box::pin(async move {
        // The signer cannot change; should somebody try, the one it was before counts.
        let signer = review.old.at(&["spec", "signerName"]).str_or_empty();
        if may_act_for(authorizer, review.identity, (verb, signer)).await {
            return Ok(());
        }
        let why = format!("user not permitted to {verb} requests with signerName {}", go_quote(signer));
        Err(forbidden(review.name, &why))
    })
}

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        is_update_of(review, "approval")
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        Some(check(review, &self.authorizer, "approve"))
    }
}

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        is_update_of(review, "status")
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        let certificate = ["status", "certificate"];
        if review.object.at(&certificate) == review.old.at(&certificate) {
            return None;
        }
        Some(check(review, &self.authorizer, "sign"))
    }
}

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is(GROUP, REQUESTS)
            && review.subresource.is_empty()
            && review.operation == Operation::Create
            && review.object.at(&["spec", "signerName"]).as_str() == Some(CLIENT_SIGNER)
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        let refused = match subject(review.object.get("spec")) {
            Err(why) => format!("failed to parse CSR: {why}"),
            Ok(subject) if subject.organizations.iter().any(|group| group == MASTERS) => {
                format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")
            }
            Ok(_) => return None,
        };
        Some(Box::pin(std::future::ready(Err(forbidden(review.name, &refused)))))
    }
}

/// Whom a certificate would be for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    /// The common name; empty if there is none.
    pub name: String,
    /// The organizations.
    pub organizations: Vec<String>,
}

/// Reads the subject of the request in the spec of a `CertificateSigningRequest`.
pub(super) fn subject(spec: &Value) -> Result<Subject, String> {
    let text = spec.get("request").str_or_empty();
    let pem = STANDARD.decode(text).map_err(|error| error.to_string())?;
    let request = CertificateSigningRequestDer::from_pem_slice(&pem)
        .map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    let (_, request) = X509CertificationRequest::from_der(&request).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    Ok(Subject {
        name: subject.iter_common_name().find_map(text).unwrap_or_default(),
        organizations: subject.iter_organization().filter_map(text).collect(),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;
    use crate::authz::tests::masters;

    fn spec(name: &str, organization: &str) -> Value {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, organization);
        let key = KeyPair::generate().unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        Value::from([("request", Value::from(STANDARD.encode(pem)))])
    }

    #[test]
    fn the_subject_of_a_request_is_read() {
        let found = subject(&spec("jane", MASTERS)).unwrap();
        assert_eq!(found, Subject { name: "jane".into(), organizations: vec![MASTERS.into()] });
        for bad in ["", "eA==", "%"] {
            let spec = Value::from([("request", Value::from(bad))]);
            assert!(subject(&spec).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_who_may_acts_for_a_signer() {
        let (admin, nobody) = (Identity::new("a", &[MASTERS]), Identity::new("n", &[]));
        assert!(may_act_for(&masters(), &admin, ("sign", "example.com/x")).await);
        assert!(!may_act_for(&masters(), &nobody, ("sign", "example.com/x")).await);
    }
}
