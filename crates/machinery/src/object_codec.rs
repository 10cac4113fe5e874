//! Reading and writing [`Object`](crate::Object)s: one scan finds the header, `managedFields` and the place of
//! `resourceVersion`; nothing else is looked at.

use std::ops::Range;

use smol_str::SmolStr;

use crate::json::scan::Scanner;
use crate::json::{self, Error};
use crate::managed::{ManagedFields, Pool};
use crate::object::{Body, Header, OwnerRef};
use crate::{Object, Status, Value};

pub(crate) fn from_value(document: &Value) -> Result<Object, Status> {
    from_json(&json::to_vec(document))
}

pub(crate) fn from_json(bytes: &[u8]) -> Result<Object, Status> {
    let scan = Scan::read(bytes, true).map_err(unreadable)?;
    Ok(scan.object(bytes, None, None))
}

pub(crate) fn from_stored(bytes: &[u8], revision: u64, pool: Option<&Pool>) -> Result<Object, Status> {
    let mut scan = Scan::read(bytes, false).map_err(unreadable)?;
    if scan.metadata.is_none() {
        return Err(Status::internal("a stored object has no metadata"));
    }
    scan.header.revision = revision;
    Ok(scan.object(bytes, Some(revision), pool))
}

pub(crate) fn to_value(object: &Object) -> Result<Value, Status> {
    json::parse(object.body()).map_err(unreadable)
}

pub(crate) fn metadata(object: &Object) -> &[u8] {
    let body = object.body();
    // What is no JSON has no metadata either.
    find_metadata(body).ok().flatten().map_or(b"{}", |found| &body[found])
}

fn find_metadata(body: &[u8]) -> Result<Option<Range<usize>>, Error> {
    let mut scanner = Scanner::new(body);
    if scanner.begin_value()? != b'{' {
        return Ok(None);
    }
    scanner.bump();
    let mut more = scanner.first_member()?;
    while more {
        let is_metadata = scanner.raw_key()? == b"metadata" && scanner.begin_value()? == b'{';
        let start = scanner.position();
        scanner.skip_value(1)?;
        if is_metadata {
            return Ok(Some(start..scanner.position()));
        }
        more = scanner.next_member()?;
    }
    Ok(None)
}

pub(crate) fn parts(object: &Object, parts: &json::Parts) -> Result<Value, Status> {
    json::parse_parts(object.body(), parts).map_err(unreadable)
}

pub(crate) fn to_whole_value(object: &Object) -> Result<Value, Status> {
    let mut bytes = Vec::with_capacity(object.json_len());
    object.write_json(&mut bytes);
    json::parse(&bytes).map_err(unreadable)
}

pub(crate) fn stored_form(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.push(b'{');
    for (position, (name, member)) in document.members().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        json::encode_string(name, &mut out);
        out.push(b':');
        if name != "metadata" {
            json::encode(member, &mut out);
            continue;
        }
        out.push(b'{');
        let mut first = true;
        for (name, member) in member.members().filter(|(name, _)| *name != "resourceVersion") {
            if !first {
                out.push(b',');
            }
            first = false;
            json::encode_string(name, &mut out);
            out.push(b':');
            json::encode(member, &mut out);
        }
        out.push(b'}');
    }
    out.push(b'}');
    out
}

fn unreadable(error: Error) -> Status {
    Status::internal(format!("an object cannot be read: {error}"))
}

/// What a scan of an object's JSON finds.
#[derive(Default)]
struct Scan {
    header: Header,
    /// Between the braces of `metadata`.
    metadata: Option<Range<usize>>,
    /// Where the text of `metadata.resourceVersion` begins, if there is one.
    revision: Option<usize>,
    /// The members of `metadata`: from the first quote of the name to the end of the value.
    managed_fields: Option<Member>,
    /// Where `resourceVersion` goes: the end of the member it follows, or the beginning of `metadata`.
    revision_at: usize,
    /// Members are sorted by name (custom resources), not in the order of Go's structures.
    by_name: bool,
    /// The end of the last member of `metadata` before the place of `managedFields`.
    splice_at: usize,
}

#[derive(Clone)]
struct Member {
    whole: Range<usize>,
    value: Range<usize>,
}

impl Scan {
    /// Reads the header; all of the object if it comes from elsewhere, else no further than needed.
    fn read(bytes: &[u8], to_the_end: bool) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        let mut scanner = Scanner::new(bytes);
        if scanner.begin_value()? != b'{' {
            return Err(Error { text: "an object is expected".to_owned(), syntax: false });
        }
        scanner.bump();
        let mut found = 0;
        let mut more = scanner.first_member()?;
        while more {
            let key = scanner.key()?;
            match &*key {
                "kind" => scan.header.kind = text(&mut scanner)?,
                "apiVersion" => {
                    scan.by_name = found == 0;
                    scan.header.api_version = text(&mut scanner)?;
                }
                "metadata" if scanner.begin_value()? == b'{' => scan.read_metadata(&mut scanner)?,
                _ => {
                    scanner.skip_value(1)?;
                    found -= 1;
                }
            }
            found += 1;
            if found == 3 && !to_the_end {
                return Ok(scan);
            }
            more = scanner.next_member()?;
        }
        scanner.end()?;
        Ok(scan)
    }

    fn read_metadata(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Error> {
        scanner.bump();
        let start = scanner.position();
        (self.revision_at, self.splice_at) = (start, start);
        let mut end = start;
        let mut more = scanner.first_member()?;
        while more {
            let name_at = scanner.position();
            let key = scanner.key()?;
            let is_text = scanner.begin_value()? == b'"';
            let value_at = scanner.position();
            self.read_member(&key, scanner)?;
            end = scanner.position();
            if key == "managedFields" {
                self.managed_fields = Some(Member { whole: name_at..end, value: value_at..end });
            } else if !self.by_name || *key < *"managedFields" {
                self.splice_at = end;
            }
            if key == "resourceVersion" && is_text {
                self.revision = Some(value_at + 1);
            }
            if self.precedes_revision(&key) {
                self.revision_at = end;
            }
            more = scanner.next_member()?;
        }
        self.metadata = Some(start..end);
        Ok(())
    }

    /// Whether `resourceVersion` stands after this member of `metadata`.
    fn precedes_revision(&self, name: &str) -> bool {
        if self.by_name {
            name < "resourceVersion"
        } else {
            matches!(name, "name" | "generateName" | "namespace" | "selfLink" | "uid")
        }
    }

    fn read_member(&mut self, name: &str, scanner: &mut Scanner<'_>) -> Result<(), Error> {
        let header = &mut self.header;
        match name {
            "name" => header.name = text(scanner)?,
            "namespace" => header.namespace = text(scanner)?,
            "uid" => header.uid = text(scanner)?,
            "resourceVersion" => header.revision = text(scanner)?.parse().unwrap_or(0),
            "generation" => header.generation = number(scanner)?,
            "deletionTimestamp" => header.deleting = !text(scanner)?.is_empty(),
            "labels" => {
                let mut labels = Vec::new();
                members(scanner, |name, scanner| {
                    labels.push((SmolStr::new(name), text(scanner)?));
                    Ok(())
                })?;
                labels.sort();
                header.labels = labels.into();
            }
            "ownerReferences" => {
                let mut owners = Vec::new();
                items(scanner, |scanner| {
                    owners.push(owner(scanner)?);
                    Ok(())
                })?;
                header.owners = owners.into();
            }
            "finalizers" => {
                let mut finalizers = Vec::new();
                items(scanner, |scanner| {
                    finalizers.push(text(scanner)?);
                    Ok(())
                })?;
                header.finalizers = finalizers.into();
            }
            _ => scanner.skip_value(2)?,
        }
        Ok(())
    }

    /// The object: the bytes without `managedFields`, with `resourceVersion` put in if it is given.
    fn object(self, bytes: &[u8], revision: Option<u64>, pool: Option<&Pool>) -> Object {
        let metadata = self.metadata.clone().unwrap_or(0..0);
        let cut =
            self.managed_fields.as_ref().map_or(0..0, |member| with_comma(&member.whole, bytes, &metadata));
        let mut splice_at = self.splice_at;
        if splice_at >= cut.end {
            splice_at -= cut.len();
        }
        let mut number_at = self.revision.map(|at| if at >= cut.end { at - cut.len() } else { at });
        let text = revision.map_or_else(String::new, |revision| self.revision_text(revision, &cut));
        // Exactly as long as it has to be: what is too much would be kept as long as the object.
        let mut body = Vec::with_capacity(bytes.len() - cut.len() + text.len());
        let copy = |range: Range<usize>, body: &mut Vec<u8>| {
            // All but what is cut out.
            body.extend_from_slice(&bytes[range.start..range.end.min(cut.start.max(range.start))]);
            body.extend_from_slice(&bytes[range.start.max(cut.end).min(range.end)..range.end]);
        };
        if text.is_empty() {
            copy(0..bytes.len(), &mut body);
        } else {
            copy(0..self.revision_at, &mut body);
            let at = body.len();
            number_at = Some(at + text.find(|letter: char| letter.is_ascii_digit()).unwrap_or(0));
            body.extend_from_slice(text.as_bytes());
            copy(self.revision_at..bytes.len(), &mut body);
            if splice_at > at || (splice_at == at && !self.by_name) {
                splice_at += text.len();
            }
        }
        let managed_fields = self.managed_fields.as_ref().map(|member| {
            let list = &bytes[member.value.clone()];
            pool.map_or_else(|| ManagedFields::new(list), |pool| pool.share(list))
        });
        Object::from_parts(self.header, Body { bytes: body.into(), splice_at, number_at }, managed_fields)
    }

    /// `resourceVersion` as a member of `metadata`, of which `cut` is left out, with its commas.
    fn revision_text(&self, revision: u64, cut: &Range<usize>) -> String {
        let metadata = self.metadata.clone().unwrap_or(0..0);
        let first = self.revision_at == metadata.start;
        let alone = metadata.is_empty() || *cut == metadata;
        match (first, alone) {
            (false, _) => format!(",\"resourceVersion\":\"{revision}\""),
            (true, false) => format!("\"resourceVersion\":\"{revision}\","),
            (true, true) => format!("\"resourceVersion\":\"{revision}\""),
        }
    }
}

/// A member together with the comma that parts it from its neighbour.
fn with_comma(member: &Range<usize>, bytes: &[u8], metadata: &Range<usize>) -> Range<usize> {
    let before = bytes[metadata.start..member.start].iter().rposition(|byte| *byte == b',');
    if let Some(comma) = before {
        return metadata.start + comma..member.end;
    }
    let after = bytes[member.end..metadata.end].iter().position(|byte| *byte == b',');
    member.start..after.map_or(member.end, |comma| member.end + comma + 1)
}

fn owner(scanner: &mut Scanner<'_>) -> Result<OwnerRef, Error> {
    let mut owner = OwnerRef {
        api_version: SmolStr::default(),
        kind: SmolStr::default(),
        name: SmolStr::default(),
        uid: SmolStr::default(),
        controller: false,
        block_owner_deletion: false,
    };
    members(scanner, |name, scanner| {
        match name {
            "apiVersion" => owner.api_version = text(scanner)?,
            "kind" => owner.kind = text(scanner)?,
            "name" => owner.name = text(scanner)?,
            "uid" => owner.uid = text(scanner)?,
            "controller" => owner.controller = truth(scanner)?,
            "blockOwnerDeletion" => owner.block_owner_deletion = truth(scanner)?,
            _ => scanner.skip_value(4)?,
        }
        Ok(())
    })?;
    Ok(owner)
}

/// A text; empty if something else is there.
fn text(scanner: &mut Scanner<'_>) -> Result<SmolStr, Error> {
    if scanner.begin_value()? == b'"' {
        return Ok(SmolStr::from(scanner.string()?));
    }
    scanner.skip_value(2)?;
    Ok(SmolStr::default())
}

fn number(scanner: &mut Scanner<'_>) -> Result<i64, Error> {
    match scanner.begin_value()? {
        b'-' | b'0'..=b'9' => Ok(scanner.number()?.parse().unwrap_or(0)),
        _ => scanner.skip_value(2).map(|()| 0),
    }
}

fn truth(scanner: &mut Scanner<'_>) -> Result<bool, Error> {
    match scanner.begin_value()? {
        b't' | b'f' => Ok(scanner.literal()? == Some(true)),
        _ => scanner.skip_value(2).map(|()| false),
    }
}

fn members<'a>(
    scanner: &mut Scanner<'a>,
    mut each: impl FnMut(&str, &mut Scanner<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    if scanner.begin_value()? != b'{' {
        return scanner.skip_value(2);
    }
    scanner.bump();
    let mut more = scanner.first_member()?;
    while more {
        let key = scanner.key()?;
        each(&key, scanner)?;
        more = scanner.next_member()?;
    }
    Ok(())
}

fn items<'a>(
    scanner: &mut Scanner<'a>,
    mut each: impl FnMut(&mut Scanner<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    if scanner.begin_value()? != b'[' {
        return scanner.skip_value(2);
    }
    scanner.bump();
    let mut more = scanner.first_item();
    while more {
        each(scanner)?;
        more = scanner.next_item()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
