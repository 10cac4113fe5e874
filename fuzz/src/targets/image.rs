//! Images: their names, their documents, and layers, none of which may write outside its directory.

use std::path::PathBuf;

use runtime::parsers;

use crate::target::{Target, Verdict, holds, outcome, same};

const WORDS: &[&str] = &[
    "docker.io/",
    "library/",
    ":latest",
    "@sha256:",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "../",
    "/etc/passwd",
    ".wh.",
    ".wh..wh..opq",
    "ustar\0",
    "ustar  \0",
    "PaxHeader",
    "30 mtime=1.5\n",
    "11 size=9\n",
    "SCHILY.xattr.user.a=b",
    "\"layers\":[{}],",
    "\"platform\":null,",
    "\"config\":{},",
    "././@LongLink",
    "5",
    "2",
    "1",
    "3",
    "6",
    "L",
    "x",
];
const NAMES: &[&str] = &[
    "busybox",
    "localhost:5000/a/b:c",
    "quay.io/x/y@sha256:0123456789012345678901234567890123456789012345678901234567890123",
    "[::1]:5000/a",
];
const DOCUMENTS: &[&str] = &[
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"m","digest":"sha256:a","size":1},"layers":[{"mediaType":"m","digest":"sha256:b","size":2,"annotations":{"a":"b"}}]}"#,
    r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:a","size":1,"platform":{"os":"linux","architecture":"amd64","variant":"v8"}},{"digest":"sha256:b","size":0}]}"#,
    r#"{"architecture":"amd64","config":{"User":"1:2","Env":["A=b"],"Entrypoint":null,"Cmd":["sh"],"Volumes":{"/v":{}},"WorkingDir":"/w","StopSignal":"SIGTERM"},"rootfs":{"type":"layers","diff_ids":["sha256:c"]}}"#,
];

pub fn target() -> Target {
    let texts = NAMES.iter().chain(DOCUMENTS).map(|text| text.as_bytes().to_vec());
    // One place for all inputs of this process, emptied after each.
    let place = std::env::temp_dir().join(format!("ironclad-fuzz-{}", std::process::id()));
    let seeds = texts.chain([archive(ENTRIES), archive(&ENTRIES[..1])]).collect();
    Target { name: "image", seeds, words: WORDS, run: Box::new(move |input| run(input, &place)) }
}

/// Name, type, where a link leads, content.
type Entry = (&'static str, u8, &'static str, &'static str);

const ENTRIES: &[Entry] = &[
    ("a/", b'5', "", ""),
    ("a/b", b'0', "", "hello"),
    ("a/link", b'2', "../../../outside", ""),
    ("a/link/file", b'0', "", "through a link"),
    ("a/hard", b'1', "a/b", ""),
    ("a/.wh.gone", b'0', "", ""),
    ("a/.wh..wh..opq", b'0', "", ""),
    ("pax", b'x', "", "13 mtime=1.5\n26 SCHILY.xattr.user.a=bc\n"),
    ("../up", b'0', "", "no"),
];

/// A tar archive, written by hand so that it may hold what no tool writes.
fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, link, content) in entries {
        let mut head = [0u8; 512];
        let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000755\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(136, "00000000001\0");
        put(148, "        ");
        put(157, link);
        put(257, "ustar\x0000");
        head[156] = *kind;
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Mends the sums of all heads, without which no edit of an archive is looked at.
fn mended(archive: &[u8]) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    for head in bytes.chunks_exact_mut(512).filter(|head| head[257..262] == *b"ustar") {
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

fn run(input: &[u8], place: &PathBuf) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let name = match parsers::reference(&text) {
        Ok((name, target)) => {
            same(
                "a name is read as it was written",
                &parsers::reference(&name),
                &Ok((name.clone(), target)),
            )?;
            "name".to_owned()
        }
        Err(why) => outcome("", &why.replace(&*text, "")),
    };
    let documents = parsers::documents(input);
    let unpacked = unpack(&mended(input), place)?;
    Ok(format!("{name} {documents:?} {unpacked}"))
}

/// Unpacks an archive in a directory of a directory: in the outer one nothing may change.
fn unpack(archive: &[u8], place: &PathBuf) -> Verdict {
    let broken = |error: std::io::Error| format!("the place for layers: {error}");
    let (outer, root, file) = (place.join("outer"), place.join("outer/root"), place.join("layer"));
    std::fs::create_dir_all(&root).map_err(broken)?;
    std::fs::write(&file, archive).map_err(broken)?;
    let unpacked = parsers::layer(&file, &root);
    let names = |directory: &PathBuf| -> Result<Vec<_>, String> {
        let entries = std::fs::read_dir(directory).map_err(broken)?;
        Ok(entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect())
    };
    let (around, beside) = (names(&outer)?, names(place)?);
    std::fs::remove_dir_all(place).map_err(broken)?;
    holds("nothing is written outside the layer", around.len() == 1 && beside.len() == 2)?;
    Ok(match unpacked {
        Ok(()) => "unpacked".to_owned(),
        Err(error) => outcome("", error.to_string().rsplit(": ").next().unwrap_or_default()),
    })
}
