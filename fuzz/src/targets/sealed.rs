//! What seals values: sealed values with their sealed keys, the answers of plugins, and the configuration.

use apiserver::parsers;

use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] =
    &["\x0a\x04", "\x12\x01k", "\x22\x05\x0a\x03a.b", "\x28\x01", "kms", "aescbc", "secret: ", "*."];
const SEEDS: &[&[u8]] = &[
    b"\x0a\x04data\x12\x011\x1a\x06sealed\x22\x08\x0a\x03a.b\x12\x01v\x28\x01",
    b"\x0a\x01c\x12\x01k\x1a\x08\x0a\x03a.b\x12\x01v",
    b"\x0a\x02v2\x12\x02ok\x1a\x011",
    b"kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets, '*.apps']\n  \
      providers:\n  - kms: {apiVersion: v2, name: p, endpoint: 'unix:///p', timeout: 3s}\n  - aesgcm: {keys: [{name: a, \
      secret: MTIzNDU2Nzg5MDEyMzQ1Ng==}]}\n  - identity: {}\n",
];

pub fn target() -> Target {
    let seeds = SEEDS.iter().map(|seed| seed.to_vec()).collect();
    Target { name: "sealed", seeds, words: WORDS, run: Box::new(run) }
}

fn run(input: &[u8]) -> Verdict {
    if input.starts_with(b"kind") {
        let read = parsers::encryption_configuration(&String::from_utf8_lossy(input));
        return Ok(match read {
            Ok(()) => "configuration".to_owned(),
            Err(error) => outcome("refused", &error),
        });
    }
    let answers = parsers::plugin_answers(input);
    match parsers::sealed_value(input) {
        Ok(written) => {
            same(
                "what was written is read as it was",
                &parsers::sealed_value(&written),
                &Ok(written.clone()),
            )?;
            Ok(format!("sealed {answers:?}"))
        }
        Err(error) => Ok(outcome(&format!("refused {answers:?}"), &error)),
    }
}
