//! `AuthenticationConfiguration`: which issuers are trusted, and what may be asked without any credentials.

use machinery::Value;

use super::oidc::{self, Source};
use crate::expression::{About, Expression, Rule};

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
    let mappings = jwt.get("claimMappings");
    let in_mapping = |name: &str, why: String| format!("claimMappings.{name}{why}");
    let username = source(mappings.get("username"), true).map_err(|why| in_mapping("username", why))?;
    let username = username.ok_or("claimMappings.username: claim or expression is required")?;
    let groups = source(mappings.get("groups"), true).map_err(|why| in_mapping("groups", why))?;
    let uid = source(mappings.get("uid"), false).map_err(|why| in_mapping("uid", why))?;
    let extra = extra(mappings.get("extra")).map_err(|why| in_mapping("extra", why))?;
    let (required, claim_rules) = claim_rules(jwt.get("claimValidationRules"))?;
    check_email(&username, &extra, &claim_rules)?;
    Ok(oidc::Settings {
        url: url.to_owned(),
        discovery: issuer.get("discoveryURL").as_str().map(str::to_owned),
        ca: issuer.get("certificateAuthority").str_or_empty().as_bytes().to_vec(),
        audiences,
        username,
        groups,
        uid,
        extra,
        required,
        claim_rules,
        user_rules: user_rules(jwt.get("userValidationRules"))?,
    })
}

/// Where a mapping takes a text from: a claim, and what is put before its value, or an expression. A prefix must be chosen,
/// if only the empty one.
fn source(mapping: &Value, prefixed: bool) -> Result<Option<Source>, String> {
    let text = |name: &str| mapping.get(name).as_str().filter(|text| !text.is_empty());
    let prefix = mapping.get("prefix").as_str();
    match (text("claim"), text("expression")) {
        (Some(_), Some(_)) => Err(": claim and expression can't both be set".to_owned()),
        (None, None) => Ok(None),
        (None, Some(_)) if prefix.is_some() => {
            Err(".prefix: may not be specified when expression is set".to_owned())
        }
        (None, Some(expression)) => {
            let compiled = Expression::compile(About::Claims, expression);
            compiled.map(|compiled| Some(Source::Expression(compiled))).map_err(|why| format!(".expression: {why}"))
        }
        (Some(_), None) if prefixed && prefix.is_none() => Err(
            ".prefix: prefix is required when claim is set. It can be set to an empty string to disable prefixing"
                .to_owned(),
        ),
        (Some(name), None) => Ok(Some(Source::Claim(name.to_owned(), prefix.unwrap_or_default().to_owned()))),
    }
}

fn extra(list: &Value) -> Result<Vec<(String, Expression)>, String> {
    let mut all: Vec<(String, Expression)> = Vec::new();
    for (at, entry) in list.items().iter().enumerate() {
        let key = entry.get("key").str_or_empty();
        let wrong = |what: &str, why: &str| format!("[{at}].{what}: {why}");
        if let Some(fault) = machinery::names::domain_prefixed_path(key).into_iter().next() {
            return Err(wrong("key", &fault));
        }
        if key.to_lowercase() != key {
            return Err(wrong("key", "must be lowercase"));
        }
        let domain = key.split('/').next().unwrap_or_default();
        let is_reserved = |own: &str| domain == own || domain.ends_with(&format!(".{own}"));
        if is_reserved("kubernetes.io") || is_reserved("k8s.io") {
            return Err(wrong(
                "key",
                "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
            ));
        }
        if all.iter().any(|(other, _)| other == key) {
            return Err(wrong("key", &format!("{key:?} is there already")));
        }
        let text = entry.get("valueExpression").str_or_empty();
        if text.is_empty() {
            return Err(wrong("valueExpression", "is required"));
        }
        let compiled =
            Expression::compile(About::Claims, text).map_err(|why| wrong("valueExpression", &why))?;
        all.push((key.to_owned(), compiled));
    }
    Ok(all)
}

/// Claims that must have a value, and what else must be true of them.
type ClaimRules = (Vec<(String, String)>, Vec<Rule>);

fn claim_rules(list: &Value) -> Result<ClaimRules, String> {
    let (mut required, mut rules) = (Vec::new(), Vec::new());
    for (at, rule) in list.items().iter().enumerate() {
        let wrong = |why: String| format!("claimValidationRules[{at}]{why}");
        let text = |name: &str| rule.get(name).str_or_empty().to_owned();
        match (text("claim"), text("expression")) {
            (claim, expression) if claim.is_empty() && expression.is_empty() => {
                return Err(wrong(": claim or expression is required".to_owned()));
            }
            (claim, expression) if !claim.is_empty() && !expression.is_empty() => {
                return Err(wrong(": claim and expression can't both be set".to_owned()));
            }
            (claim, expression) if expression.is_empty() => {
                if !text("message").is_empty() {
                    return Err(wrong(".message: may not be specified when claim is set".to_owned()));
                }
                required.push((claim, text("requiredValue")));
            }
            (_, expression) => {
                if !text("requiredValue").is_empty() {
                    return Err(wrong(
                        ".requiredValue: may not be specified when expression is set".to_owned(),
                    ));
                }
                let compiled = Expression::condition(About::Claims, &expression);
                let expression = compiled.map_err(|why| wrong(format!(".expression: {why}")))?;
                rules.push(Rule { expression, message: text("message") });
            }
        }
    }
    Ok((required, rules))
}

fn user_rules(list: &Value) -> Result<Vec<Rule>, String> {
    let each = list.items().iter().enumerate().map(|(at, rule)| {
        let text = rule.get("expression").str_or_empty();
        let wrong = |why: &str| format!("userValidationRules[{at}].expression: {why}");
        if text.is_empty() {
            return Err(wrong("is required"));
        }
        let expression = Expression::condition(About::User, text).map_err(|why| wrong(&why))?;
        Ok(Rule { expression, message: rule.get("message").str_or_empty().to_owned() })
    });
    each.collect()
}

/// Whoever takes names from addresses must look whether they are verified.
fn check_email(username: &Source, extra: &[(String, Expression)], rules: &[Rule]) -> Result<(), String> {
    let Source::Expression(username) = username else { return Ok(()) };
    let mut all =
        extra.iter().map(|(_, expression)| expression).chain(rules.iter().map(|rule| &rule.expression));
    let is_verified = username.looks_at("email_verified") || all.any(|one| one.looks_at("email_verified"));
    if is_verified || !username.looks_at("email") {
        return Ok(());
    }
    Err("claimMappings.username.expression: claims.email_verified must be used in claimMappings.username.expression or \
         claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in \
         claimMappings.username.expression"
        .to_owned())
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
        assert_eq!(issuer.username, Source::Claim("sub".to_owned(), "p:".to_owned()));
        assert_eq!(issuer.required, [("hd".to_owned(), "x".to_owned())]);
        assert!(settings.anonymous.is_heard("/livez") && !settings.anonymous.is_heard("/api"));
        assert!(parse(HEAD).unwrap().anonymous.is_heard("/api"));
        let off = parse(&format!("{HEAD}anonymous: {{enabled: false}}\n")).unwrap();
        assert!(!off.anonymous.is_heard("/livez"));
    }

    #[test]
    fn expressions_are_read_where_they_may_stand() {
        let settings = parse(&format!(
            "{HEAD}jwt:\n- issuer: {{url: 'https://i', audiences: [a]}}\n  claimMappings: {{username: {{expression: \
             claims.sub}}, groups: {{expression: claims.roles}}, uid: {{expression: claims.id}}, extra: [{{key: \
             example.com/team, valueExpression: claims.team}}]}}\n  claimValidationRules: [{{expression: 'claims.n > 3', \
             message: small}}]\n  userValidationRules: [{{expression: 'size(user.groups) > 0'}}]\n"
        ))
        .unwrap();
        let issuer = &settings.issuers[0];
        let Source::Expression(username) = &issuer.username else { panic!("the name is an expression") };
        assert_eq!(username.text(), "claims.sub");
        assert_eq!(
            (issuer.extra[0].0.as_str(), issuer.claim_rules[0].message.as_str()),
            ("example.com/team", "small")
        );
        assert_eq!((issuer.user_rules.len(), issuer.required.len()), (1, 0));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let jwt = |issuer: &str, rest: &str| format!("{HEAD}jwt:\n- issuer: {issuer}\n  {rest}\n");
        let good = "{url: 'https://i', audiences: [a]}";
        let named = |how: &str| jwt(good, &format!("claimMappings: {{username: {{{how}}}}}"));
        let sub = "claimMappings: {username: {claim: sub, prefix: ''}}";
        let rest = |more: &str| jwt(good, &format!("{sub}\n  {more}"));
        let extra = |key: &str| {
            let list = format!("[{{key: {key}, valueExpression: claims.x}}]");
            jwt(good, &format!("claimMappings: {{username: {{claim: sub, prefix: ''}}, extra: {list}}}"))
        };
        for (text, expected) in [
            ("kind: X".to_owned(), "it is no AuthenticationConfiguration"),
            (jwt("{url: 'http://i', audiences: [a]}", "x: y"), "jwt[0].issuer.url"),
            (jwt("{url: 'https://i'}", "x: y"), "jwt[0].issuer.audiences"),
            (jwt(good, "x: y"), "claimMappings.username: claim or expression is required"),
            (jwt(good, "claimMappings: {username: {claim: sub}}"), "claimMappings.username.prefix"),
            (
                named("claim: sub, expression: claims.sub"),
                "claimMappings.username: claim and expression can't",
            ),
            (
                named("prefix: p, expression: claims.sub"),
                "claimMappings.username.prefix: may not be specified",
            ),
            (named("expression: 'claims.'"), "claimMappings.username.expression: compilation failed: ERROR"),
            (named("expression: claims.email"), "claims.email_verified must be used"),
            (
                rest("userValidationRules: [{expression: user.username}]"),
                "[0].expression: must evaluate to bool",
            ),
            (rest("claimValidationRules: [{}]"), "claimValidationRules[0]: claim or expression is required"),
            (
                rest("claimValidationRules: [{expression: 'true', requiredValue: x}]"),
                "claimValidationRules[0].requiredValue: may not be specified",
            ),
            (extra("k8s.io/a"), "claimMappings.extra[0].key: k8s.io, kubernetes.io and their subdomains"),
            (extra("example.com/A"), "claimMappings.extra[0].key: must be lowercase"),
            (extra("a"), "claimMappings.extra[0].key: "),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
