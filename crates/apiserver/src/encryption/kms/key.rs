//! A key that a plugin opened for us, and how values are sealed with it.
//!
//! Each value gets a key of its own, derived (HKDF, expanded with SHA-256) from a seed and 32 random bytes that stand
//! before the sealed value: so one seed seals as many values as there will ever be.

use aws_lc_rs::hmac;

use super::envelope::Use;
use crate::encryption::provider::{Cipher, random};

/// Bytes of a seed, of what distinguishes a value's key, and of that key.
pub(super) const SEED: usize = 32;
const DISTINCTION: usize = 32;

/// A key in the clear.
pub struct Key {
    usage: Use,
    secret: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({:?})", self.usage)
    }
}

impl Key {
    /// A seed that nobody had before.
    pub fn random() -> Result<Key, String> {
        let secret = random::<SEED>().ok_or("the system gives no random numbers")?;
        Ok(Key { usage: Use::Seed, secret: secret.to_vec() })
    }

    /// As a plugin gave it back.
    pub fn opened(usage: Use, secret: Vec<u8>) -> Result<Key, String> {
        let length = secret.len();
        match usage {
            Use::Seed if length < SEED => {
                Err(format!("invalid seed length {length} used for key generation"))
            }
            Use::Key if ![16, 24, 32].contains(&length) => {
                Err(format!("crypto/aes: invalid key size {length}"))
            }
            _ => Ok(Key { usage, secret }),
        }
    }

    /// What a plugin is to seal.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Seals a value for a key of the store.
    pub fn seal(&self, at: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
        let refused = || "a value could not be encrypted".to_owned();
        let distinction = random::<DISTINCTION>().ok_or_else(refused)?;
        let key = self.derived(&distinction);
        let sealed = Cipher::AesGcm.seal(&key, at, plain).ok_or_else(refused)?;
        Ok([&distinction[..], &sealed].concat())
    }

    /// Opens a value of a key of the store.
    pub fn open(&self, at: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String> {
        let unauthentic = || "cipher: message authentication failed".to_owned();
        match self.usage {
            Use::Key => Cipher::AesGcm.open(&self.secret, at, sealed).ok_or_else(unauthentic),
            Use::Seed => {
                let parts = sealed.split_at_checked(DISTINCTION);
                let (distinction, rest) =
                    parts.ok_or("the stored data was shorter than the required size")?;
                Cipher::AesGcm.open(&self.derived(distinction), at, rest).ok_or_else(unauthentic)
            }
        }
    }

    /// The first block of HKDF's expansion, which is all that is needed of it.
    fn derived(&self, distinction: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let mut block = hmac::Context::with_key(&key);
        block.update(distinction);
        block.update(&[1]);
        block.sign().as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        // The first 32 bytes of the output of its first test case, from the pseudorandom key and the info given there.
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let secret = bytes("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let key = Key::opened(Use::Seed, secret).unwrap();
        let expected = bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        assert_eq!(key.derived(&bytes("f0f1f2f3f4f5f6f7f8f9")), expected);
    }

    #[test]
    fn a_value_opens_with_its_key_and_at_its_place_only() {
        let key = Key::random().unwrap();
        let sealed = key.seal(b"/a", b"hunter2").unwrap();
        assert_eq!(sealed.len(), DISTINCTION + 12 + 7 + 16);
        assert_ne!(sealed, key.seal(b"/a", b"hunter2").unwrap(), "each value has a key of its own");
        assert_eq!(key.open(b"/a", &sealed).unwrap(), b"hunter2");
        let mut broken = sealed.clone();
        broken[40] ^= 1;
        for (key, at, sealed) in
            [(&key, b"/b", &sealed), (&key, b"/a", &broken), (&Key::random().unwrap(), b"/a", &sealed)]
        {
            assert_eq!(key.open(at, sealed).unwrap_err(), "cipher: message authentication failed");
        }
        let short = key.open(b"/a", &sealed[..31]).unwrap_err();
        assert_eq!(short, "the stored data was shorter than the required size");
    }

    #[test]
    fn keys_of_a_wrong_size_are_refused() {
        let error = Key::opened(Use::Seed, vec![0; 31]).unwrap_err();
        assert_eq!(error, "invalid seed length 31 used for key generation");
        assert_eq!(Key::opened(Use::Key, vec![0; 31]).unwrap_err(), "crypto/aes: invalid key size 31");
        // Longer seeds than anybody makes are keys of an HMAC all the same.
        let long = Key::opened(Use::Seed, vec![7; 1000]).unwrap();
        assert_eq!(long.open(b"/a", &long.seal(b"/a", b"x").unwrap()).unwrap(), b"x");
        let old = Key::opened(Use::Key, vec![7; 16]).unwrap();
        let sealed = Cipher::AesGcm.seal(&[7; 16], b"/a", b"x").unwrap();
        assert_eq!(old.open(b"/a", &sealed).unwrap(), b"x");
    }
}
