//! Paths and links: what the other side is asked for, and where its links lead for somebody who sees it through here.

/// Makes links lead through the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rewriter {
    /// The path under which the other side is seen, without a slash at its end.
    pub prefix: String,
    /// The name the client calls this server by.
    pub own_host: String,
    /// Host and port of the other side.
    pub endpoint: String,
}

impl Rewriter {
    /// One that leaves everything as it is.
    pub fn nothing() -> Rewriter {
        Rewriter::default()
    }

    /// Whether it leaves everything as it is.
    pub fn is_nothing(&self) -> bool {
        self.prefix.is_empty()
    }

    /// The path by which the client asked for a path of the other side.
    pub fn forwarded_uri(&self, path: &str) -> String {
        escape(&format!("{}{}", self.prefix, slashed(path)))
    }

    /// A link of the other side as it must be here. What leads elsewhere, or is relative, stays.
    pub fn url(&self, url: &str) -> String {
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let (place, rest) = url.split_at(end);
        let (scheme, host, path) = parts(place);
        let is_elsewhere = !host.is_empty() && host != self.endpoint && host != self.own_host;
        if self.is_nothing() || is_elsewhere || !path.starts_with('/') {
            return url.to_owned();
        }
        // One that names this server by the client's own name for it may go on doing so.
        let start = if !host.is_empty() && host == self.own_host {
            format!("{scheme}//{host}")
        } else {
            String::new()
        };
        if path.starts_with(&self.prefix) {
            return format!("{start}{path}{rest}");
        }
        format!("{start}{}{}{rest}", self.prefix, slashed(&clean(path)))
    }
}

fn slashed(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Scheme (with its colon), host and path of a link without its query. A link that has a scheme and no host has no path
/// that could begin with a slash.
fn parts(place: &str) -> (&str, &str, &str) {
    let (scheme, after) = match place.split_once(':') {
        Some((scheme, _)) if is_scheme(scheme) => place.split_at(scheme.len() + 1),
        _ => ("", place),
    };
    match after.strip_prefix("//") {
        Some(after) => {
            let end = after.find('/').unwrap_or(after.len());
            (scheme, &after[..end], &after[end..])
        }
        None if scheme.is_empty() => ("", "", after),
        None => (scheme, "", ""),
    }
}

fn is_scheme(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_letter)
}

/// A path without `.`, `..` and empty parts; a slash at its end stays.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut clean = format!("/{}", parts.join("/"));
    if path.ends_with('/') && !clean.ends_with('/') {
        clean.push('/');
    }
    clean
}

/// The path to ask the other side for: what follows `proxy`. Empty if nothing does, not even a slash.
pub(super) fn target_path(whole: &str, rest: &str) -> String {
    match (rest.is_empty(), whole.ends_with('/')) {
        (true, false) => String::new(),
        (true, true) => "/".to_owned(),
        (false, ends) => clean(&format!("{rest}{}", if ends { "/" } else { "" })),
    }
}

/// The path under which the other side is seen.
pub(super) fn prefix(whole: &str, rest: &str) -> String {
    let whole = whole.trim_end_matches('/');
    whole.strip_suffix(rest).unwrap_or(whole).to_owned()
}

/// A path as it may stand in a request.
pub(super) fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/api/v1/namespaces/d/pods/p:80/proxy";

    #[test]
    fn links_lead_through_the_proxy() {
        let rewriter = Rewriter {
            prefix: PREFIX.into(),
            own_host: "127.0.0.1:6443".into(),
            endpoint: "10.1.0.5:80".into(),
        };
        for (link, expected) in [
            ("/rewriteme", "/api/v1/namespaces/d/pods/p:80/proxy/rewriteme"),
            ("/", "/api/v1/namespaces/d/pods/p:80/proxy/"),
            ("/a/b/?x=/y#/z", "/api/v1/namespaces/d/pods/p:80/proxy/a/b/?x=/y#/z"),
            ("http://10.1.0.5:80/a", "/api/v1/namespaces/d/pods/p:80/proxy/a"),
            ("//10.1.0.5:80/a", "/api/v1/namespaces/d/pods/p:80/proxy/a"),
            ("https://127.0.0.1:6443/a", "https://127.0.0.1:6443/api/v1/namespaces/d/pods/p:80/proxy/a"),
            ("/api/v1/namespaces/d/pods/p:80/proxy/a", "/api/v1/namespaces/d/pods/p:80/proxy/a"),
            ("/a/../b//c", "/api/v1/namespaces/d/pods/p:80/proxy/b/c"),
        ] {
            assert_eq!(rewriter.url(link), expected, "{link}");
        }
        for link in [
            "relative",
            "",
            "#here",
            "?x",
            "http://example.org/a",
            "//example.org/a",
            "mailto:a@b",
            "javascript:/x/",
        ] {
            assert_eq!(rewriter.url(link), link);
        }
        assert_eq!(Rewriter::nothing().url("/a"), "/a");
        assert_eq!(rewriter.forwarded_uri("/a b"), "/api/v1/namespaces/d/pods/p:80/proxy/a%20b");
    }

    #[test]
    fn what_follows_the_word_proxy_is_asked_for() {
        for (whole, rest, path) in [
            ("/x/proxy", "", ""),
            ("/x/proxy/", "", "/"),
            ("/x/proxy/a/b", "/a/b", "/a/b"),
            ("/x/proxy/a/b/", "/a/b", "/a/b/"),
            ("/x/proxy/a/../../../b", "/a/../../../b", "/b"),
        ] {
            assert_eq!(target_path(whole, rest), path, "{whole}");
            assert!(rest.contains("..") || prefix(whole, rest) == "/x/proxy", "{whole}");
        }
        assert_eq!(escape("/a b/ü?"), "/a%20b/%C3%BC%3F");
    }
}
