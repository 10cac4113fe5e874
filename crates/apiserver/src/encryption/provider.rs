//! What seals values: a cipher, whose first key seals and which opens what any of them sealed, or a plugin.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use bytes::Bytes;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce as BoxNonce, XSalsa20Poly1305};

use super::kms::Kms;

const GCM_NONCE: usize = 12;
const CBC_IV: usize = 16;
const BOX_NONCE: usize = 24;

/// Which cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES in Galois/counter mode.
    AesGcm,
    /// AES in cipher block chaining mode, padded.
    AesCbc,
    /// XSalsa20 and Poly1305.
    Secretbox,
}

/// A cipher and its keys, a plugin, or none at all.
pub enum Provider {
    /// Values stay as they are.
    Identity,
    /// The first key seals.
    Keys(Cipher, Vec<Key>),
    /// A plugin keeps the keys.
    Kms(Arc<Kms>),
}

/// A key, and what the values it sealed begin with.
pub struct Key {
    prefix: Bytes,
    secret: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({})", String::from_utf8_lossy(&self.prefix))
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Provider::Identity => out.write_str("Identity"),
            Provider::Keys(cipher, keys) => write!(out, "{cipher:?}({} keys)", keys.len()),
            Provider::Kms(kms) => write!(out, "Kms({})", String::from_utf8_lossy(kms.prefix())),
        }
    }
}

impl Cipher {
    /// Its name in configurations and in front of sealed values.
    pub fn name(self) -> &'static str {
        match self {
            Cipher::AesGcm => "aesgcm",
            Cipher::AesCbc => "aescbc",
            Cipher::Secretbox => "secretbox",
        }
    }

    /// How many bytes its keys have.
    pub fn key_sizes(self) -> &'static [usize] {
        match self {
            Cipher::AesGcm | Cipher::AesCbc => &[16, 24, 32],
            Cipher::Secretbox => &[32],
        }
    }

    pub(super) fn seal(self, key: &[u8], context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Cipher::AesGcm => {
                let nonce = random::<GCM_NONCE>()?;
                let mut text = plain.to_vec();
                let aad = Aad::from(context);
                gcm(key)?
                    .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
                    .ok()?;
                Some([&nonce[..], &text].concat())
            }
            Cipher::AesCbc => {
                let iv = random::<CBC_IV>()?;
                let sealing = PaddedBlockEncryptingKey::cbc_pkcs7(cbc(key)?).ok()?;
                let mut text = plain.to_vec();
                let context = EncryptionContext::Iv128(FixedLength::from(iv));
                sealing.less_safe_encrypt(&mut text, context).ok()?;
                Some([&iv[..], &text].concat())
            }
            Cipher::Secretbox => {
                let nonce = random::<BOX_NONCE>()?;
                let cipher = XSalsa20Poly1305::new_from_slice(key).ok()?;
                let text = cipher.encrypt(BoxNonce::from_slice(&nonce), plain).ok()?;
                Some([&nonce[..], &text].concat())
            }
        }
    }

    pub(super) fn open(self, key: &[u8], context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Cipher::AesGcm => {
                let (nonce, text) = sealed.split_at_checked(GCM_NONCE)?;
                let mut text = text.to_vec();
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let plain = gcm(key)?.open_in_place(nonce, Aad::from(context), &mut text).ok()?;
                Some(plain.to_vec())
            }
            Cipher::AesCbc => {
                let (iv, text) = sealed.split_at_checked(CBC_IV)?;
                let opening = PaddedBlockDecryptingKey::cbc_pkcs7(cbc(key)?).ok()?;
                let mut text = text.to_vec();
                let iv: [u8; CBC_IV] = iv.try_into().ok()?;
                let plain =
                    opening.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
                Some(plain.to_vec())
            }
            Cipher::Secretbox => {
                let (nonce, text) = sealed.split_at_checked(BOX_NONCE)?;
                let cipher = XSalsa20Poly1305::new_from_slice(key).ok()?;
                cipher.decrypt(BoxNonce::from_slice(nonce), text).ok()
            }
        }
    }
}

/// Random bytes; `None` if the system has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

fn gcm(key: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        _ => &AES_256_GCM,
    };
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}

fn cbc(key: &[u8]) -> Option<UnboundCipherKey> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        _ => &AES_256,
    };
    UnboundCipherKey::new(algorithm, key).ok()
}

impl Key {
    /// A key by its name.
    pub fn new(cipher: Cipher, name: &str, secret: Vec<u8>) -> Key {
        Key { prefix: Bytes::from(format!("k8s:enc:{}:v1:{name}:", cipher.name())), secret }
    }
}

impl Provider {
    /// What tells the values that it seals now from others: empty if it seals nothing, `None` if it cannot seal yet.
    pub fn mark(&self) -> Option<Bytes> {
        match self {
            Provider::Identity => Some(Bytes::new()),
            Provider::Keys(_, keys) => Some(keys.first().map_or(Bytes::new(), |key| key.prefix.clone())),
            Provider::Kms(kms) => kms.mark(),
        }
    }

    /// The value as it is stored at a key of the store.
    pub fn seal(&self, at: &[u8], plain: &Bytes) -> Result<Bytes, String> {
        match self {
            Provider::Identity => Ok(plain.clone()),
            Provider::Keys(cipher, keys) => {
                let key = keys.first().ok_or("there is no key to encrypt with")?;
                let sealed = cipher.seal(&key.secret, at, plain).ok_or("a value could not be encrypted")?;
                Ok(Bytes::from([&key.prefix[..], &sealed].concat()))
            }
            Provider::Kms(kms) => kms.seal(at, plain).map(Bytes::from),
        }
    }

    /// What was sealed at a key of the store, and what tells how; `None` if it is none of its values.
    pub async fn open(&self, at: &[u8], value: &[u8]) -> Option<Result<(Vec<u8>, Bytes), String>> {
        match self {
            Provider::Identity => None,
            Provider::Keys(cipher, keys) => {
                let mut ours = keys.iter().filter(|key| value.starts_with(&key.prefix)).peekable();
                ours.peek()?;
                let opened = ours.find_map(|key| {
                    let plain = cipher.open(&key.secret, at, &value[key.prefix.len()..])?;
                    Some((plain, key.prefix.clone()))
                });
                Some(
                    opened.ok_or_else(|| {
                        "the value was not encrypted with this key, or was changed".to_owned()
                    }),
                )
            }
            Provider::Kms(kms) => {
                let sealed = value.strip_prefix(kms.prefix())?;
                Some(kms.open(at, sealed).await)
            }
        }
    }
}
