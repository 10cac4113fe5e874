//! The cluster's own authority, which signs what was approved.

use std::fmt;
use std::time::Duration;

use env::WallTime;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use x509_parser::extensions::ParsedExtension;

use super::der;
use super::request::Request;

/// A certificate begins so long ago: the clocks of others may be slow.
const BACKDATE: Duration = Duration::from_secs(300);
/// Those that end sooner are not made shorter by that.
const SHORT: Duration = Duration::from_secs(8 * 3_600);

const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// What signs.
pub struct Authority {
    key: KeyPair,
    subject: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    ends: WallTime,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority")
    }
}

/// What a certificate says besides what was requested.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// A number no other certificate has.
    pub serial: &'a [u8],
    /// What it is good for, in the API's words.
    pub usages: &'a [String],
    /// How long it is good.
    pub lasts: Duration,
}

impl Authority {
    /// From its certificate and its key, both PEM.
    pub fn open(certificate: &str, key: &str) -> Result<Authority, String> {
        let key =
            KeyPair::from_pem(key).map_err(|error| format!("the authority's key cannot be read: {error}"))?;
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err("the authority's key is not on the curve P-256".to_owned());
        }
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
            .map_err(|error| format!("the authority's certificate cannot be read: {error}"))?;
        let certificate = pem
            .parse_x509()
            .map_err(|error| format!("the authority's certificate cannot be read: {error}"))?;
        let identifier =
            certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
                _ => None,
            });
        Ok(Authority {
            subject: certificate.subject().as_raw().to_vec(),
            key_identifier: identifier,
            ends: WallTime::from_secs(certificate.validity().not_after.timestamp()),
            key,
        })
    }

    /// A certificate, PEM.
    pub fn sign(&self, request: &Request, terms: &Terms<'_>, now: WallTime) -> Result<String, String> {
        let begins = now.secs() - i64::try_from(BACKDATE.as_secs()).unwrap_or(0);
        let from = if terms.lasts < SHORT { now } else { WallTime::from_secs(begins) };
        let ends = from.plus(terms.lasts).min(self.ends);
        let algorithm = der::sequence(&[der::object(ECDSA_WITH_SHA256)]);
        let body = der::sequence(&[
            der::tagged(0xa0, &der::positive(&[2])),
            der::positive(terms.serial),
            algorithm.clone(),
            self.subject.clone(),
            der::sequence(&[der::instant(WallTime::from_secs(begins)), der::instant(ends)]),
            request.subject.clone(),
            request.public_key.clone(),
            der::tagged(0xa3, &der::sequence(&self.extensions(request, terms.usages)?)),
        ]);
        let signature = self.key.sign(&body).map_err(|error| format!("it cannot be signed: {error}"))?;
        Ok(pem(&der::sequence(&[body, algorithm, der::bits(&signature)])))
    }

    fn extensions(&self, request: &Request, usages: &[String]) -> Result<Vec<Vec<u8>>, String> {
        let (mut flags, mut purposes) = (Vec::new(), Vec::new());
        for usage in usages {
            match meaning(usage).ok_or_else(|| format!("unrecognized usage: {usage:?}"))? {
                Meaning::Flag(flag) => flags.push(flag),
                Meaning::Purpose(purpose) => purposes.push(der::object(purpose)),
            }
        }
        let mut extensions = Vec::new();
        if !flags.is_empty() {
            extensions.push(extension(KEY_USAGE, true, &der::flags(flags)));
        }
        if !purposes.is_empty() {
            extensions.push(extension(EXTENDED_KEY_USAGE, false, &der::sequence(&purposes)));
        }
        extensions.push(extension(BASIC_CONSTRAINTS, true, &der::sequence(&[])));
        if let Some(identifier) = &self.key_identifier {
            let named = der::sequence(&[der::tagged(0x80, identifier)]);
            extensions.push(extension(AUTHORITY_KEY, false, &named));
        }
        if let Some(names) = &request.names {
            extensions.push(extension(ALTERNATIVE_NAMES, false, names));
        }
        Ok(extensions)
    }
}

fn extension(name: &[u64], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::object(name)];
    if is_critical {
        parts.push(der::tagged(0x01, &[0xff]));
    }
    parts.push(der::octets(value));
    der::sequence(&parts)
}

/// What a usage is in a certificate.
enum Meaning {
    Flag(u8),
    Purpose(&'static [u64]),
}

fn meaning(usage: &str) -> Option<Meaning> {
    let flag = match usage {
        "signing" | "digital signature" => 0,
        "content commitment" => 1,
        "key encipherment" => 2,
        "data encipherment" => 3,
        "key agreement" => 4,
        "cert sign" => 5,
        "crl sign" => 6,
        "encipher only" => 7,
        "decipher only" => 8,
        _ => return purpose(usage).map(Meaning::Purpose),
    };
    Some(Meaning::Flag(flag))
}

fn purpose(usage: &str) -> Option<&'static [u64]> {
    Some(match usage {
        "any" => &[2, 5, 29, 37, 0],
        "server auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
        "client auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
        "code signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 3],
        "email protection" | "s/mime" => &[1, 3, 6, 1, 5, 5, 7, 3, 4],
        "ipsec end system" => &[1, 3, 6, 1, 5, 5, 7, 3, 5],
        "ipsec tunnel" => &[1, 3, 6, 1, 5, 5, 7, 3, 6],
        "ipsec user" => &[1, 3, 6, 1, 5, 5, 7, 3, 7],
        "timestamping" => &[1, 3, 6, 1, 5, 5, 7, 3, 8],
        "ocsp signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 9],
        "microsoft sgc" => &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3],
        "netscape sgc" => &[2, 16, 840, 1, 113730, 4, 1],
        _ => return None,
    })
}

/// Base64 in lines of 64 letters, between its two marks.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
