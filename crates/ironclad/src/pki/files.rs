//! Certificates and keys as files: written whole and for the owner only, read back, and asked whether they still fit.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Pair {
    /// The certificate as DER.
    pub fn der(&self) -> anyhow::Result<Vec<u8>> {
        let (_, pem) =
            parse_x509_pem(self.certificate.as_bytes()).context("the certificate cannot be read")?;
        Ok(pem.contents)
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Pair(hidden)")
    }
}

/// Makes a directory that only the owner can look into.
pub fn make_private_dir(dir: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Writes a file that only the owner can read: beside its place first, so that a crash leaves the old or the new.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads `name.crt` and `name.key`; `None` if one of them is missing.
pub fn read_pair(dir: &Path, name: &str) -> anyhow::Result<Option<Pair>> {
    let certificate = read(&dir.join(format!("{name}.crt")))?;
    let key = read(&dir.join(format!("{name}.key")))?;
    Ok(certificate.zip(key).map(|(certificate, key)| Pair { certificate, key }))
}

/// Writes `name.key`, then `name.crt`: a crash between the two is seen as a missing pair.
pub fn write_pair(dir: &Path, name: &str, pair: Pair) -> anyhow::Result<Pair> {
    let certificate = dir.join(format!("{name}.crt"));
    match fs::remove_file(&certificate) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", certificate.display()));
        }
        _ => {}
    }
    write_private(&dir.join(format!("{name}.key")), pair.key.as_bytes())?;
    write_private(&certificate, pair.certificate.as_bytes())?;
    Ok(pair)
}

/// Reads a file, or makes it.
pub fn read_or_make(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let path = dir.join(name);
    if let Some(text) = read(&path)? {
        return Ok(text);
    }
    let text = make()?;
    write_private(&path, text.as_bytes())?;
    Ok(text)
}

/// Whether a certificate is for exactly these names and good until `until_secs` at least.
pub fn fits(pair: &Pair, names: &[String], until_secs: i64) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pair.certificate.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let mut present = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name_of).collect(),
        _ => Vec::new(),
    };
    present.sort();
    present == names && certificate.validity().not_after.timestamp() > until_secs
}

/// Whether a certificate is good until `until_secs` at least.
pub fn good_until(pair: &Pair, until_secs: i64) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pair.certificate.as_bytes()) else { return false };
    pem.parse_x509().is_ok_and(|certificate| certificate.validity().not_after.timestamp() > until_secs)
}

pub(super) fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// A day, as the certificate library wants its first and last moment.
pub struct Day {
    /// The year.
    pub year: i32,
    /// 1 to 12
    pub month: u8,
    /// 1 to 31
    pub day: u8,
}

/// The day before `now_secs` (clocks differ) and the day so many days after it.
pub fn validity(now_secs: i64, days: i64) -> (Day, Day) {
    let day_of = |secs: i64| {
        let date =
            jiff::Timestamp::from_second(secs).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        Day { year: date.year().into(), month: date.month().unsigned_abs(), day: date.day().unsigned_abs() }
    };
    (day_of(now_secs - 86_400), day_of(now_secs + days * 86_400))
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
