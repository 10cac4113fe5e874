//! `$(NAME)` in commands, arguments and values.

/// Replaces each `$(NAME)` by what `value` answers. What it does not know stays as it is; `$$` is one `$`.
pub(crate) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        out.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|open| open.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The same, but a name that is not known, or stands for nothing, is an error, with the names.
pub(crate) fn expand_all(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<String>> {
    let missing = std::cell::RefCell::new(Vec::new());
    let expanded = expand(text, &|name| {
        let known = value(name).filter(|value| !value.is_empty());
        if known.is_none() {
            missing.borrow_mut().push(name.to_owned());
        }
        known
    });
    let missing = missing.into_inner();
    if missing.is_empty() { Ok(expanded) } else { Err(missing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_everybody_expects() {
        let value = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "B" => Some("$(A)".to_owned()),
            "" => Some("empty".to_owned()),
            _ => None,
        };
        for (text, expanded) in [
            ("plain", "plain"),
            ("$(A)", "a"),
            ("x$(A)y$(A)z", "xaaz".replace("aa", "aya").as_str()),
            ("$(B)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$$$$(A)", "$$(A)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$A", "$A"),
            ("$", "$"),
            ("a$", "a$"),
            ("$(A", "$(A"),
            ("$()", "empty"),
            ("$(UNKNOWN)$(A)", "$(UNKNOWN)a"),
            ("$$", "$"),
            ("é$(A)é", "éaé"),
        ] {
            assert_eq!(expand(text, &value), expanded, "{text}");
        }
        assert_eq!(expand_all("$(A)/$(X)/$(Y)", &value), Err(vec!["X".to_owned(), "Y".to_owned()]));
        assert_eq!(expand_all("$(A)/x", &value), Ok("a/x".to_owned()));
    }

    #[test]
    fn a_path_needs_all_its_parts() {
        let value = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "NOTHING" => Some(String::new()),
            _ => None,
        };
        assert_eq!(expand_all("x/$(A)", &value), Ok("x/a".to_owned()));
        let missing = vec!["NOTHING".to_owned(), "B".to_owned()];
        assert_eq!(expand_all("$(NOTHING)/$(A)/$(B)", &value), Err(missing));
    }
}
