//! Signing requests: what a node that joins asks for, and the certificate it gets.

use anyhow::{Context, ensure};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use super::files::{Pair, name_of};
use super::{CA, LEAF_DAYS, ca_params, distinguished_name, san, set_validity};

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To show to servers.
    Client,
    /// To show to clients.
    Server,
}

/// What a request says of whoever made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The common name.
    pub name: String,
    /// The organizations.
    pub groups: Vec<String>,
    /// Host names and addresses; `None` if one of them is of another kind.
    pub names: Option<Vec<String>>,
}

/// Makes a key and a request for a certificate for it: answers the request and the key, as PEM.
pub fn make(name: &str, group: &str, names: &[String]) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name, group);
    params.subject_alt_names = names.iter().map(|name| san(name)).collect::<anyhow::Result<_>>()?;
    Ok((params.serialize_request(&key)?.pem()?, key.serialize_pem()))
}

/// What a request says. That it was made with its key is checked when it is signed.
pub fn read(pem: &str) -> anyhow::Result<Said> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).context("the request is no PEM")?;
    ensure!(block.label == "CERTIFICATE REQUEST", "the request is a {}", block.label);
    let (_, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|error| anyhow::anyhow!("the request cannot be read: {error}"))?;
    let subject = &request.certification_request_info.subject;
    let mut names = Some(Vec::new());
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(found) = extension {
            names = found.general_names.iter().map(name_of).collect();
        }
    }
    Ok(Said {
        name: subject.iter_common_name().find_map(|one| one.as_str().ok()).unwrap_or_default().to_owned(),
        groups: subject.iter_organization().filter_map(|one| one.as_str().ok().map(str::to_owned)).collect(),
        names,
    })
}

/// Signs a request: the certificate says what the request says, and is good for this use only.
pub fn sign(ca: &Pair, pem: &str, purpose: Use, now_secs: i64) -> anyhow::Result<String> {
    let said = read(pem)?;
    let request = CertificateSigningRequestParams::from_pem(pem).context("the request is not in order")?;
    let mut params = CertificateParams::default();
    let mut subject = distinguished_name("", "");
    for group in &said.groups {
        subject.push(rcgen::DnType::OrganizationName, group.as_str());
    }
    subject.push(rcgen::DnType::CommonName, said.name.as_str());
    params.distinguished_name = subject;
    let names = said.names.context("the request names what is neither a host nor an address")?;
    params.subject_alt_names = names.iter().map(|name| san(name)).collect::<anyhow::Result<_>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match purpose {
        Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Use::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now_secs, LEAF_DAYS);
    let key = KeyPair::from_pem(&ca.key).context("the CA's key cannot be read")?;
    let issuer = Issuer::new(ca_params(CA, now_secs)?, key);
    Ok(params.signed_by(&request.public_key, &issuer)?.pem())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn a_certificate_says_what_its_request_said() {
        let names = ["192.0.2.7".to_owned(), "n2".to_owned()];
        let (request, _) = make("system:node:n2", "system:nodes", &names).expect("made");
        let said = read(&request).expect("readable");
        assert_eq!(
            (said.name.as_str(), said.groups.as_slice()),
            ("system:node:n2", &["system:nodes".into()][..])
        );
        assert_eq!(said.names.as_deref(), Some(&names[..]));
        let ca = super::super::make_ca(CA, NOW).expect("made");
        let certificate = sign(&ca, &request, Use::Server, NOW).expect("signed");
        let pair = Pair { certificate, key: String::new() };
        assert!(super::super::files::fits(&pair, &names, NOW + 1_000 * 86_400));
        assert!(!super::super::good_until(&pair, NOW + 1_200 * 86_400));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let ca = super::super::make_ca(CA, NOW).expect("made");
        for text in [
            "",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            &ca.certificate,
        ] {
            assert!(read(text).is_err(), "{text}");
            assert!(sign(&ca, text, Use::Client, NOW).is_err(), "{text}");
        }
        // A request whose signature is another's.
        let (one, _) = make("one", "", &[]).expect("made");
        let (two, _) = make("two", "", &[]).expect("made");
        let der = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM").1.contents;
        let mut forged = der(&one);
        let end = forged.len() - 20;
        let other = der(&two);
        forged[end..].copy_from_slice(&other[other.len() - 20..]);
        let forged = pem_of("CERTIFICATE REQUEST", &forged);
        assert!(sign(&ca, &forged, Use::Client, NOW).is_err());
    }

    fn pem_of(label: &str, der: &[u8]) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }
}
