//! Service-account tokens: signed statements of who a pod is. Keys, signing, checking, and the public keys for others.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::Value;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::config::Config;
use crate::http::tls::TlsError;

/// The key that signs, and all whose signatures are accepted.
#[derive(Debug)]
pub struct Keys {
    signing: Option<Signing>,
    accepted: Vec<Public>,
}

#[derive(Debug)]
enum Signing {
    Ecdsa(EcdsaKeyPair, String),
    Rsa(RsaKeyPair, String),
}

#[derive(Debug)]
struct Public {
    /// `SubjectPublicKeyInfo`.
    der: Vec<u8>,
    id: String,
    algorithm: &'static str,
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of ours at all: somebody else may know it.
    #[error("it is no service-account token of this cluster")]
    Foreign,
    /// It is malformed.
    #[error("it is malformed")]
    Malformed,
    /// No key of ours signed it.
    #[error("its signature is not ours")]
    Signature,
}

impl Keys {
    /// The configured keys. Without a signing key no tokens are given out.
    pub fn new(config: &Config) -> Result<Keys, TlsError> {
        let mut accepted = Vec::new();
        let signing = if config.token_key.is_empty() {
            None
        } else {
            let (signing, public) = read_signing(&config.token_key)?;
            accepted.push(public);
            Some(signing)
        };
        for pem in &config.old_token_keys {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|error| pem_error(&error))?;
            accepted.push(Public::new(der.as_ref().to_vec())?);
        }
        Ok(Keys { signing, accepted })
    }

    /// Signs claims; `None` if there is no key to sign with.
    pub fn sign(&self, claims: &Value) -> Option<String> {
        let (algorithm, id) = match self.signing.as_ref()? {
            Signing::Ecdsa(_, id) => ("ES256", id),
            Signing::Rsa(_, id) => ("RS256", id),
        };
        let header = Value::from([("alg", Value::from(algorithm)), ("kid", Value::from(id.as_str()))]);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(machinery::json::to_vec(value));
        let message = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let signature = match self.signing.as_ref()? {
            Signing::Ecdsa(key, _) => key.sign(&random, message.as_bytes()).ok()?.as_ref().to_vec(),
            Signing::Rsa(key, _) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).ok()?;
                signature
            }
        };
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that one of our keys signed, for `issuer`.
    pub fn verify(&self, token: &str, issuer: &str) -> Result<Value, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Foreign)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Foreign)?;
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            machinery::json::parse(&bytes).ok()
        };
        let header = read(header).ok_or(TokenError::Foreign)?;
        let claims = read(claims).ok_or(TokenError::Foreign)?;
        if claims.get("iss").str_or_empty() != issuer {
            return Err(TokenError::Foreign);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        let (id, algorithm) = (header.get("kid").str_or_empty(), header.get("alg").str_or_empty());
        let signed = self.accepted.iter().any(|key| {
            (id.is_empty() || key.id == id)
                && key.algorithm == algorithm
                && key.verifies(message.as_bytes(), &signature)
        });
        if signed { Ok(claims) } else { Err(TokenError::Signature) }
    }

    /// The public keys, as a JSON Web Key Set.
    pub fn key_set(&self) -> Value {
        let keys: Vec<Value> = self.accepted.iter().filter_map(Public::to_jwk).collect();
        Value::from([("keys", Value::from(keys))])
    }

    /// The algorithms that sign.
    pub fn algorithms(&self) -> Vec<&'static str> {
        let mut algorithms: Vec<&str> = self.accepted.iter().map(|key| key.algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    }
}

fn pem_error(error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Pem { what: "service-account key", detail: error.to_string() }
}

fn read_signing(pem: &[u8]) -> Result<(Signing, Public), TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| pem_error(&error))?;
    let der = key.secret_der();
    let x509 = |der: Result<PublicKeyX509Der<'static>, _>| -> Result<Public, TlsError> {
        let der =
            der.map_err(|_: aws_lc_rs::error::Unspecified| pem_error(&"its public key cannot be read"))?;
        Public::new(der.as_ref().to_vec())
    };
    let ecdsa = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der));
    if let Ok(ecdsa) = ecdsa {
        let public = x509(ecdsa.public_key().as_der())?;
        let id = public.id.clone();
        return Ok((Signing::Ecdsa(ecdsa, id), public));
    }
    let rsa = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
    let rsa = rsa.map_err(|_| pem_error(&"it is neither an RSA key nor one of the curve P-256"))?;
    let public = x509(rsa.public_key().as_der())?;
    let id = public.id.clone();
    Ok((Signing::Rsa(rsa, id), public))
}

impl Public {
    fn new(der: Vec<u8>) -> Result<Public, TlsError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|error| pem_error(&error))?;
        let algorithm = match info.parsed() {
            Ok(PublicKey::EC(_)) => "ES256",
            Ok(PublicKey::RSA(_)) => "RS256",
            _ => return Err(pem_error(&"its public key is of no kind that is known")),
        };
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, &der));
        Ok(Public { der, id, algorithm })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.der).verify(message, signature),
            _ => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der).verify(message, signature),
        };
        verified.is_ok()
    }

    fn to_jwk(&self) -> Option<Value> {
        let (_, info) = SubjectPublicKeyInfo::from_der(&self.der).ok()?;
        let number = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
        let mut key = Value::from([("use", Value::from("sig"))]);
        match info.parsed().ok()? {
            PublicKey::EC(point) => {
                // 0x04, then both coordinates of 32 bytes each.
                let coordinates = point.data().get(1..65)?;
                key.set("kty", "EC");
                key.set("kid", self.id.as_str());
                key.set("crv", "P-256");
                key.set("alg", self.algorithm);
                key.set("x", number(&coordinates[..32]));
                key.set("y", number(&coordinates[32..]));
            }
            PublicKey::RSA(rsa) => {
                let plain = |bytes: &[u8]| {
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    number(&bytes[zeros..])
                };
                key.set("kty", "RSA");
                key.set("kid", self.id.as_str());
                key.set("alg", self.algorithm);
                key.set("n", plain(rsa.modulus));
                key.set("e", plain(rsa.exponent));
            }
            _ => return None,
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pem: String) -> Keys {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        config.token_key = pem.into_bytes();
        Keys::new(&config).unwrap()
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else_does() {
        let ours = keys(rcgen::KeyPair::generate().unwrap().serialize_pem());
        let others = keys(rcgen::KeyPair::generate().unwrap().serialize_pem());
        let claims = Value::from([("iss", Value::from("me")), ("sub", Value::from("s"))]);
        let token = ours.sign(&claims).unwrap();
        assert_eq!(ours.verify(&token, "me"), Ok(claims.clone()));
        assert_eq!(ours.verify(&token, "you"), Err(TokenError::Foreign));
        assert_eq!(others.verify(&token, "me"), Err(TokenError::Signature));
        let mut parts: Vec<&str> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(r#"{"iss":"me","sub":"admin"}"#);
        parts[1] = &forged;
        assert_eq!(ours.verify(&parts.join("."), "me"), Err(TokenError::Signature));
        for bad in ["", "a", "a.b", "a.b.c", "e30.e30.e30"] {
            assert!(ours.verify(bad, "me").is_err(), "{bad}");
        }
    }

    #[test]
    fn others_can_read_the_keys() {
        let keys = keys(rcgen::KeyPair::generate().unwrap().serialize_pem());
        let set = keys.key_set();
        let key = &set.get("keys").items()[0];
        assert_eq!(key.get("kty").as_str(), Some("EC"));
        assert_eq!(key.get("x").str_or_empty().len(), 43);
        assert_eq!(keys.algorithms(), ["ES256"]);
    }
}
