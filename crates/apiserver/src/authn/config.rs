//! `AuthenticationConfiguration`: which issuers are trusted, and what may be asked without any credentials.

use machinery::Value;

use super::oidc;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Issuers of tokens.
    pub issuers: Vec<oidc::Settings>,
    /// Who shows no credentials.
    pub anonymous: Anonymous,
}

/// What is done with requests without credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// They are the anonymous user's.
    #[default]
    Everywhere,
    /// They are refused.
    Nowhere,
    /// They are the anonymous user's at these paths.
    At(Vec<String>),
}

impl Anonymous {
    /// Whether a request without credentials is heard at a path.
    pub fn is_heard(&self, path: &str) -> bool {
        match self {
            Anonymous::Everywhere => true,
            Anonymous::Nowhere => false,
            Anonymous::At(paths) => paths.iter().any(|one| one == path),
        }
    }
}

/// Reads the file.
pub fn parse(text: &str) -> Result<Settings, String> {
    let document = machinery::yaml::decode(text.as_bytes()).map_err(|error| error.to_string())?;
    let version = document.get("apiVersion").str_or_empty();
    let is_known = matches!(version, "apiserver.config.k8s.io/v1" | "apiserver.config.k8s.io/v1beta1");
    if document.get("kind").as_str() != Some("AuthenticationConfiguration") || !is_known {
        return Err("it is no AuthenticationConfiguration of apiserver.config.k8s.io/v1".to_owned());
    }
    let mut issuers: Vec<oidc::Settings> = Vec::new();
    for (at, jwt) in document.get("jwt").items().iter().enumerate() {
        let issuer = issuer(jwt).map_err(|why| format!("jwt[{at}].{why}"))?;
        if issuers.iter().any(|other| other.url == issuer.url) {
            return Err(format!("jwt[{at}].issuer.url: {:?} is there already", issuer.url));
        }
        issuers.push(issuer);
    }
    Ok(Settings { issuers, anonymous: anonymous(document.get("anonymous"))? })
}

fn anonymous(document: &Value) -> Result<Anonymous, String> {
    if document.is_null() {
        return Ok(Anonymous::Everywhere);
    }
    let conditions = document.get("conditions").items();
    match (document.get("enabled").is_true(), conditions) {
        (false, []) => Ok(Anonymous::Nowhere),
        (false, _) => Err("anonymous.conditions: must not be set when anonymous is not enabled".to_owned()),
        (true, []) => Ok(Anonymous::Everywhere),
        (true, conditions) => {
            let paths = conditions.iter().map(|condition| condition.get("path").str_or_empty().to_owned());
            Ok(Anonymous::At(paths.collect()))
        }
    }
}

fn issuer(jwt: &Value) -> Result<oidc::Settings, String> {
    let issuer = jwt.get("issuer");
    let url = issuer.get("url").str_or_empty();
    if !url.starts_with("https://") {
        return Err(format!("issuer.url: {url:?} must begin with https://"));
    }
    let audiences: Vec<String> =
        issuer.get("audiences").items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        return Err("issuer.audiences: at least one is needed".to_owned());
    }
    if !jwt.get("userValidationRules").items().is_empty() {
        return Err("userValidationRules: expressions are not supported".to_owned());
    }
    let mappings = jwt.get("claimMappings");
    if !mappings.get("extra").items().is_empty() {
        return Err("claimMappings.extra: expressions are not supported".to_owned());
    }
    let username =
        claim(mappings.get("username"), true).map_err(|why| format!("claimMappings.username{why}"))?;
    let mut required = Vec::new();
    for (at, rule) in jwt.get("claimValidationRules").items().iter().enumerate() {
        let name = rule.get("claim").str_or_empty();
        if name.is_empty() {
            return Err(format!("claimValidationRules[{at}]: expressions are not supported; name a claim"));
        }
        required.push((name.to_owned(), rule.get("requiredValue").str_or_empty().to_owned()));
    }
    Ok(oidc::Settings {
        url: url.to_owned(),
        discovery: issuer.get("discoveryURL").as_str().map(str::to_owned),
        ca: issuer.get("certificateAuthority").str_or_empty().as_bytes().to_vec(),
        audiences,
        username: username.ok_or("claimMappings.username: a claim is needed")?,
        groups: claim(mappings.get("groups"), true).map_err(|why| format!("claimMappings.groups{why}"))?,
        uid: claim(mappings.get("uid"), false)
            .map_err(|why| format!("claimMappings.uid{why}"))?
            .map(|(claim, _)| claim),
        required,
    })
}

/// The claim of a mapping, and what is put before its value. A prefix must be chosen, if only the empty one.
fn claim(mapping: &Value, prefixed: bool) -> Result<Option<(String, String)>, String> {
    if !mapping.get("expression").is_null() {
        return Err(".expression: expressions are not supported; name a claim".to_owned());
    }
    let Some(claim) = mapping.get("claim").as_str() else { return Ok(None) };
    match mapping.get("prefix").as_str() {
        None if prefixed => Err(".prefix: is needed when a claim is named; it may be empty".to_owned()),
        prefix => Ok(Some((claim.to_owned(), prefix.unwrap_or_default().to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";

    #[test]
    fn issuers_and_anonymous_paths_are_read() {
        let settings = parse(&format!(
            "{HEAD}jwt:\n- issuer: {{url: 'https://i', audiences: [a]}}\n  claimMappings: {{username: {{claim: sub, prefix: \
             'p:'}}, groups: {{claim: g, prefix: ''}}, uid: {{claim: u}}}}\n  claimValidationRules: [{{claim: hd, \
             requiredValue: x}}]\nanonymous: {{enabled: true, conditions: [{{path: /livez}}]}}\n"
        ))
        .unwrap();
        let issuer = &settings.issuers[0];
        assert_eq!(issuer.username, ("sub".to_owned(), "p:".to_owned()));
        assert_eq!(issuer.required, [("hd".to_owned(), "x".to_owned())]);
        assert!(settings.anonymous.is_heard("/livez") && !settings.anonymous.is_heard("/api"));
        assert!(parse(HEAD).unwrap().anonymous.is_heard("/api"));
        let off = parse(&format!("{HEAD}anonymous: {{enabled: false}}\n")).unwrap();
        assert!(!off.anonymous.is_heard("/livez"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let jwt = |issuer: &str, rest: &str| format!("{HEAD}jwt:\n- issuer: {issuer}\n  {rest}\n");
        let good = "{url: 'https://i', audiences: [a]}";
        for (text, expected) in [
            ("kind: X".to_owned(), "it is no AuthenticationConfiguration"),
            (jwt("{url: 'http://i', audiences: [a]}", "x: y"), "jwt[0].issuer.url"),
            (jwt("{url: 'https://i'}", "x: y"), "jwt[0].issuer.audiences"),
            (jwt(good, "x: y"), "claimMappings.username: a claim is needed"),
            (jwt(good, "claimMappings: {username: {claim: sub}}"), "claimMappings.username.prefix"),
            (
                jwt(good, "claimMappings: {username: {expression: 'claims.sub'}}"),
                "expressions are not supported",
            ),
            (jwt(good, "userValidationRules: [{expression: 'true'}]"), "jwt[0].userValidationRules"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
