//! JSON Web Tokens of others: their keys as they publish them, and whether one of them signed a token.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::Value;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; empty if it has none.
    pub id: String,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The curve, and the point: 4, then both coordinates.
    Ec {
        curve: String,
        point: Vec<u8>,
    },
}

/// A token that was taken apart and not yet believed.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    /// What it says.
    pub claims: Value,
    /// The name of the key that signed it; may be empty.
    pub key: String,
    algorithm: String,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart; `None` if it is none.
    pub fn parse(text: &'a str) -> Option<Token<'a>> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let read = |part: &str| machinery::json::parse(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (header, claims) = (read(header)?, read(claims)?);
        Some(Token {
            claims,
            key: header.get("kid").str_or_empty().to_owned(),
            algorithm: header.get("alg").str_or_empty().to_owned(),
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether one of the keys signed it.
    pub fn is_signed_by(&self, keys: &[Key]) -> bool {
        let candidates =
            keys.iter().filter(|key| self.key.is_empty() || key.id.is_empty() || key.id == self.key);
        candidates
            .into_iter()
            .any(|key| key.verifies(&self.algorithm, self.signed.as_bytes(), &self.signature))
    }
}

impl Key {
    /// The keys of a set; those of kinds that are not known are left out.
    pub fn read_set(set: &Value) -> Vec<Key> {
        set.get("keys").items().iter().filter_map(Key::read).collect()
    }

    fn read(document: &Value) -> Option<Key> {
        if !matches!(document.get("use").str_or_empty(), "" | "sig") {
            return None;
        }
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(document.get(name).as_str()?).ok();
        let material = match document.get("kty").str_or_empty() {
            "RSA" => Material::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
            "EC" => {
                let curve = document.get("crv").str_or_empty().to_owned();
                let point = [vec![4], bytes("x")?, bytes("y")?].concat();
                Material::Ec { curve, point }
            }
            _ => return None,
        };
        Some(Key { id: document.get("kid").str_or_empty().to_owned(), material })
    }

    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { modulus, exponent } => rsa(algorithm).is_some_and(|parameters| {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, message, signature).is_ok()
            }),
            Material::Ec { curve, point } => ec(algorithm, curve).is_some_and(|parameters| {
                UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
            }),
        }
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ec(algorithm: &str, curve: &str) -> Option<&'static EcdsaVerificationAlgorithm> {
    Some(match (algorithm, curve) {
        ("ES256", "P-256") => &ECDSA_P256_SHA256_FIXED,
        ("ES384", "P-384") => &ECDSA_P384_SHA384_FIXED,
        ("ES512", "P-521") => &ECDSA_P521_SHA512_FIXED,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding};

    use super::*;

    #[test]
    fn tokens_of_each_algorithm_are_checked() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let secret: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(secret.as_ref());
        let mut config = crate::config::Config::new("127.0.0.1:0".parse().unwrap());
        config.token_key =
            format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n").into_bytes();
        let mut set = crate::tokens::Keys::new(&config).unwrap().key_set();
        set.entry("keys").make_array().push(Value::from([("kty", Value::from("oct"))]));
        let keys = Key::read_set(&set);
        assert_eq!(keys.len(), 1);
        let id = &keys[0].id;
        let sign = |algorithm: &str, encoding: &'static dyn RsaEncoding| {
            let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{algorithm}\",\"kid\":\"{id}\"}}"));
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode("{\"sub\":\"a\"}"));
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        for (token, good) in [
            (sign("PS256", &RSA_PSS_SHA256), true),
            (sign("RS512", &RSA_PKCS1_SHA512), true),
            (sign("RS256", &RSA_PKCS1_SHA512), false),
            (sign("none", &RSA_PKCS1_SHA512), false),
            (sign("HS256", &RSA_PKCS1_SHA512), false),
        ] {
            assert_eq!(Token::parse(&token).unwrap().is_signed_by(&keys), good, "{token}");
        }
        for bad in ["", ".", "..", "a.b", "a.b.c", "e30.e30.%"] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }
}
