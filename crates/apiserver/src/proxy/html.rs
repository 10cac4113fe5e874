//! Pages on their way through: links in them are rewritten while they pass, everything else stays as it is, byte by byte.

use super::rewrite::Rewriter;

/// A tag longer than this is passed on as it is.
const LONGEST_TAG: usize = 64 << 10;

/// A page that is passing.
#[derive(Debug)]
pub(super) struct Html {
    rewriter: Rewriter,
    /// What cannot be judged before more has come.
    held: Vec<u8>,
    /// Everything up to this (in small letters) is text, whatever it looks like.
    until: Option<Vec<u8>>,
}

impl Html {
    /// A page that begins.
    pub fn new(rewriter: Rewriter) -> Html {
        Html { rewriter, held: Vec::new(), until: None }
    }

    /// Takes a piece in and gives out what is ready.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let mut ready = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(step) = self.step(at, &mut ready) {
            at += step;
        }
        self.held.drain(..at);
        ready
    }

    /// Gives out the rest.
    pub fn finish(self) -> Vec<u8> {
        self.held
    }

    /// Judges what begins at `at`: answers how much of it is done, `None` if more is needed.
    fn step(&mut self, at: usize, ready: &mut Vec<u8>) -> Option<usize> {
        let rest = &self.held[at..];
        if rest.is_empty() {
            return None;
        }
        if let Some(until) = &self.until {
            let found = find(rest, until);
            // The end may be there in part.
            let length = found.unwrap_or_else(|| rest.len().saturating_sub(until.len()));
            ready.extend_from_slice(&rest[..length]);
            if found.is_some() {
                self.until = None;
            }
            return (length > 0 || found.is_some()).then_some(length);
        }
        let text = rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len());
        if text > 0 {
            ready.extend_from_slice(&rest[..text]);
            return Some(text);
        }
        self.step_tag(at, ready)
    }

    fn step_tag(&mut self, at: usize, ready: &mut Vec<u8>) -> Option<usize> {
        let rest = &self.held[at..];
        if rest.starts_with(b"<!--") {
            self.until = Some(b"-->".to_vec());
            ready.extend_from_slice(b"<!--");
            return Some(4);
        }
        let could_be_comment = b"<!--".starts_with(rest);
        let begins_tag = rest.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || b"/!?".contains(byte));
        if !begins_tag && rest.len() > 1 {
            ready.push(b'<');
            return Some(1);
        }
        let end = if could_be_comment { None } else { tag_end(rest) };
        let Some(end) = end else {
            if rest.len() <= LONGEST_TAG {
                return None;
            }
            ready.extend_from_slice(rest);
            return Some(rest.len());
        };
        let tag = rest[..end].to_vec();
        ready.extend_from_slice(&self.rewrite(&tag));
        let name = name_of(&tag);
        if matches!(name.as_str(), "script" | "style" | "textarea" | "title" | "xmp" | "noembed" | "noframes")
        {
            self.until = Some(format!("</{name}").into_bytes());
        }
        Some(end)
    }

    /// A whole tag with its links rewritten.
    fn rewrite(&self, tag: &[u8]) -> Vec<u8> {
        let name = name_of(tag);
        let links = links_of(&name);
        if links.is_empty() {
            return tag.to_vec();
        }
        let mut written = Vec::with_capacity(tag.len() + self.rewriter.prefix.len());
        let mut done = 0;
        for (attribute, value) in attributes(tag, 1 + name.len()) {
            let attribute = tag[attribute].to_ascii_lowercase();
            if !links.iter().any(|link| link.as_bytes() == attribute) {
                continue;
            }
            let Ok(link) = std::str::from_utf8(&tag[value.clone()]) else { continue };
            written.extend_from_slice(&tag[done..value.start]);
            written.extend_from_slice(self.rewriter.url(link.trim()).as_bytes());
            done = value.end;
        }
        written.extend_from_slice(&tag[done..]);
        written
    }
}

/// Where a text (in small letters) stands.
fn find(haystack: &[u8], text: &[u8]) -> Option<usize> {
    haystack.windows(text.len()).position(|window| window.eq_ignore_ascii_case(text))
}

/// The name of a tag that begins, in small letters; empty for one that ends something.
fn name_of(tag: &[u8]) -> String {
    let name = tag.iter().skip(1).take_while(|byte| byte.is_ascii_alphanumeric());
    name.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// The length of a tag, if it ends.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut before = b' ';
    for (position, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == *byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if before == b'=' => quote = Some(*byte),
            (None, b'>') => return Some(position + 1),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = *byte;
        }
    }
    None
}

type Range = std::ops::Range<usize>;

/// The names and values of a tag's attributes, from `at` on. Attributes without a value are left out.
fn attributes(tag: &[u8], mut at: usize) -> Vec<(Range, Range)> {
    let mut found = Vec::new();
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'/';
    let skip =
        |at: usize, what: &dyn Fn(&u8) -> bool| at + tag[at..].iter().take_while(|byte| what(byte)).count();
    while at < tag.len() {
        at = skip(at, &is_space);
        let name = at..skip(at, &|byte| !byte.is_ascii_whitespace() && !b"=>/".contains(byte));
        let equals = skip(name.end, &u8::is_ascii_whitespace);
        if tag.get(equals) != Some(&b'=') {
            at = equals.max(at + 1);
            continue;
        }
        let start = skip(equals + 1, &u8::is_ascii_whitespace);
        let value = match tag.get(start) {
            Some(quote @ (b'"' | b'\'')) => start + 1..skip(start + 1, &|byte| byte != quote),
            _ => start..skip(start, &|byte| !byte.is_ascii_whitespace() && *byte != b'>'),
        };
        at = (value.end + 1).min(tag.len());
        found.push((name, value));
    }
    found
}

/// The attributes of a tag that hold links.
fn links_of(tag: &str) -> &'static [&'static str] {
    match tag {
        "a" | "area" | "base" | "link" => &["href"],
        "audio" | "embed" | "script" | "source" => &["src"],
        "applet" => &["archive", "codebase"],
        "blockquote" | "del" | "ins" | "q" => &["cite"],
        "body" => &["background"],
        "button" => &["formaction"],
        "command" => &["icon"],
        "form" => &["action"],
        "frame" | "iframe" => &["longdesc", "src"],
        "head" => &["profile"],
        "html" => &["manifest"],
        "img" => &["longdesc", "src", "usemap"],
        "input" => &["src", "usemap", "formaction"],
        "object" => &["archive", "classid", "codebase", "data", "usemap"],
        "video" => &["poster", "src"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html() -> Html {
        Html::new(Rewriter { prefix: "/p".into(), own_host: "us".into(), endpoint: "them".into() })
    }

    const CASES: [(&str, &str); 16] = [
        (r#"<a href="/rewriteme">test</a>"#, r#"<a href="/p/rewriteme">test</a>"#),
        (r#"<A class=x HREF='/a' id="b">"#, r#"<A class=x HREF='/p/a' id="b">"#),
        ("<img src=/a/b.png alt=\"a > b\">", "<img src=/p/a/b.png alt=\"a > b\">"),
        (r#"<a title="x>y" href = "/a">"#, r#"<a title="x>y" href = "/p/a">"#),
        (r#"<a href="http://them/a?b=c&amp;d">"#, r#"<a href="/p/a?b=c&amp;d">"#),
        (r#"<a href="http://other/a"> /a "#, r#"<a href="http://other/a"> /a "#),
        (r#"<a href="rel">"#, r#"<a href="rel">"#),
        (r#"<form disabled action="/f"/>"#, r#"<form disabled action="/p/f"/>"#),
        (r#"<p href="/a">"#, r#"<p href="/a">"#),
        (r#"<!-- <a href="/a"> --><a href="/b">"#, r#"<!-- <a href="/a"> --><a href="/p/b">"#),
        (
            r#"<script src="/s.js">if (a<b) '<a href="/a">'</script><a href="/b">"#,
            r#"<script src="/p/s.js">if (a<b) '<a href="/a">'</script><a href="/p/b">"#,
        ),
        ("1 < 2 <", "1 < 2 <"),
        (r#"<!DOCTYPE html><base href="/">"#, r#"<!DOCTYPE html><base href="/p/">"#),
        (r#"<a href="/a"#, r#"<a href="/a"#),
        (r#"<a href=>x<a href>"#, r#"<a href=>x<a href>"#),
        (
            "<button formaction=\"/x\"><video poster=/y src=/z>",
            "<button formaction=\"/p/x\"><video poster=/p/y src=/p/z>",
        ),
    ];

    #[test]
    fn links_in_pages_are_rewritten_and_nothing_else() {
        for (page, expected) in CASES {
            let mut html = html();
            let mut seen = html.push(page.as_bytes());
            seen.extend(html.finish());
            assert_eq!(String::from_utf8_lossy(&seen), expected, "{page}");
        }
    }

    #[test]
    fn where_pages_are_cut_makes_no_difference() {
        for (page, expected) in CASES {
            for size in 1..page.len() {
                let mut html = html();
                let mut seen = Vec::new();
                for piece in page.as_bytes().chunks(size) {
                    seen.extend(html.push(piece));
                }
                seen.extend(html.finish());
                assert_eq!(String::from_utf8_lossy(&seen), expected, "{page} by {size}");
            }
        }
    }

    #[test]
    fn an_endless_tag_is_passed_on() {
        let mut html = html();
        let mut passed = html.push(b"<a href=\"").len();
        for _ in 0..100 {
            passed += html.push(&[b'x'; 1 << 10]).len();
            assert!(html.held.len() <= LONGEST_TAG + (1 << 10));
        }
        assert_eq!(passed + html.finish().len(), 9 + (100 << 10));
    }
}
