//! What a request asks for, and whether its signer may give it.

use std::collections::BTreeSet;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// Signs what clients of the API server show.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signs what nodes show the API server.
pub const NODE_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs what the servers of nodes show.
pub const NODE_SERVER: &str = "kubernetes.io/kubelet-serving";
/// Signs anything, for nobody in particular.
pub const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// A request, read and with its signature checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The subject, as it was written.
    pub subject: Vec<u8>,
    /// The public key, as it was written.
    pub public_key: Vec<u8>,
    /// The other names, as they were written.
    pub names: Option<Vec<u8>>,
    /// The subject's name.
    pub common_name: String,
    /// The subject's groups.
    pub organizations: Vec<String>,
    /// How many other names of each kind there are.
    pub counts: Names,
}

/// How many names there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    dns: usize,
    ip: usize,
    email: usize,
    uri: usize,
}

fn texts<'a>(
    attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Vec<String> {
    attributes.filter_map(|attribute| attribute.as_str().ok().map(str::to_owned)).collect()
}

impl Request {
    /// Reads what stands in `spec.request`.
    pub fn read(pem: &[u8]) -> Result<Request, String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem)
            .map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
        let (_, request) = X509CertificationRequest::from_der(&pem.contents)
            .map_err(|error| format!("the certificate request cannot be read: {error}"))?;
        request
            .verify_signature()
            .map_err(|error| format!("unable to verify certificate request signature: {error}"))?;
        let information = &request.certification_request_info;
        let subject: &X509Name<'_> = &information.subject;
        let mut read = Request {
            subject: subject.as_raw().to_vec(),
            public_key: information.subject_pki.raw.to_vec(),
            common_name: texts(subject.iter_common_name()).pop().unwrap_or_default(),
            organizations: texts(subject.iter_organization()),
            ..Request::default()
        };
        for attribute in information.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() else { continue };
            for extension in &asked.extensions {
                if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                    read.names = Some(extension.value.to_vec());
                    names.general_names.iter().for_each(|name| read.counts.add(name));
                }
            }
        }
        Ok(read)
    }

    /// Whether a node's own client certificate is asked for.
    pub fn is_node_client(&self, signer: &str, usages: &BTreeSet<&str>) -> bool {
        signer == NODE_CLIENT && self.check(signer, usages).is_ok()
    }

    /// What is wrong with it for its signer.
    pub fn check(&self, signer: &str, usages: &BTreeSet<&str>) -> Result<(), String> {
        match signer {
            NODE_CLIENT => self.check_node_client(usages),
            NODE_SERVER => self.check_node_server(usages),
            CLIENT => check_client(usages),
            _ => Ok(()),
        }
    }

    fn check_node(&self) -> Result<(), String> {
        if self.organizations == ["system:nodes"] {
            return Ok(());
        }
        Err("subject organization is not system:nodes".to_owned())
    }

    fn check_node_client(&self, usages: &BTreeSet<&str>) -> Result<(), String> {
        self.check_node()?;
        if self.counts.dns > 0 {
            return Err("DNS subjectAltNames are not allowed".to_owned());
        }
        if self.counts.email > 0 {
            return Err("Email subjectAltNames are not allowed".to_owned());
        }
        if self.counts.ip > 0 {
            return Err("IP subjectAltNames are not allowed".to_owned());
        }
        if self.counts.uri > 0 {
            return Err("URI subjectAltNames are not allowed".to_owned());
        }
        check_exactly(usages, "client auth")?;
        self.check_node_name()
    }

    fn check_node_server(&self, usages: &BTreeSet<&str>) -> Result<(), String> {
        self.check_node()?;
        if self.counts.dns + self.counts.ip == 0 {
            return Err("DNS or IP subjectAltName is required".to_owned());
        }
        if self.counts.email > 0 {
            return Err("Email subjectAltNames are not allowed".to_owned());
        }
        if self.counts.uri > 0 {
            return Err("URI subjectAltNames are not allowed".to_owned());
        }
        check_exactly(usages, "server auth")?;
        self.check_node_name()
    }

    fn check_node_name(&self) -> Result<(), String> {
        if self.common_name.starts_with("system:node:") {
            return Ok(());
        }
        Err("subject common name does not begin with system:node: ".to_owned())
    }
}

impl Names {
    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(_) => self.dns += 1,
            GeneralName::IPAddress(_) => self.ip += 1,
            GeneralName::RFC822Name(_) => self.email += 1,
            GeneralName::URI(_) => self.uri += 1,
            _ => {}
        }
    }
}

/// Nodes ask for one purpose, and for encipherment only with keys that can do it.
fn check_exactly(usages: &BTreeSet<&str>, purpose: &str) -> Result<(), String> {
    let short = BTreeSet::from(["digital signature", purpose]);
    let long = BTreeSet::from(["digital signature", "key encipherment", purpose]);
    if *usages == short || *usages == long {
        return Ok(());
    }
    let listed: Vec<&str> = long.into_iter().collect();
    Err(format!("usages did not match [{}]", listed.join(" ")))
}

fn check_client(usages: &BTreeSet<&str>) -> Result<(), String> {
    let is_allowed =
        |usage: &&&str| matches!(**usage, "digital signature" | "key encipherment" | "client auth");
    if let Some(usage) = usages.iter().find(|usage| !is_allowed(usage)) {
        return Err(format!("invalid usage for client certificate: {usage}"));
    }
    if !usages.contains("client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    Ok(())
}
