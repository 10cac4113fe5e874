use super::*;
use crate::config::Config;
use crate::expression::About;
use crate::remote::tests::{Answers, serve};
use crate::tokens::Keys;

fn keys(pem: &str) -> Keys {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap());
    config.token_key = pem.as_bytes().to_vec();
    Keys::new(&config).unwrap()
}

fn claims(issuer: &str, now: i64) -> Value {
    machinery::json::parse(
        format!(
            r#"{{"iss":"{issuer}","aud":["us"],"exp":{},"sub":"1","name":"ann","groups":["a","b"],"hd":"x","jti":"j"}}"#,
            now + 60
        )
        .as_bytes(),
    )
    .unwrap()
}

fn claim(name: &str, prefix: &str) -> Source {
    Source::Claim(name.to_owned(), prefix.to_owned())
}

fn expression(text: &str) -> Expression {
    Expression::compile(About::Claims, text).unwrap()
}

fn rule(about: About, text: &str, message: &str) -> Rule {
    Rule { expression: Expression::condition(about, text).unwrap(), message: message.to_owned() }
}

fn settings(url: &str) -> Settings {
    Settings {
        url: url.to_owned(),
        audiences: vec!["us".to_owned()],
        username: claim("name", "oidc:"),
        groups: Some(claim("groups", "g:")),
        uid: Some(claim("sub", "")),
        required: vec![("hd".to_owned(), "x".to_owned())],
        ..Settings::default()
    }
}

#[test]
fn claims_are_believed_if_all_is_right_with_them() {
    let good = claims("i", 100);
    let identity = believe(&settings("i"), &good, 100).unwrap();
    assert_eq!((identity.name.as_str(), identity.uid.as_str()), ("oidc:ann", "1"));
    assert_eq!(identity.groups, ["g:a", "g:b", "system:authenticated"]);
    for (claim, value, why) in [
        ("exp", Value::from(99i64), "expired"),
        ("nbf", Value::from(101i64), "not valid yet"),
        ("aud", Value::from("them"), "somebody else"),
        ("hd", Value::from("y"), "as its hd"),
        ("name", Value::from(""), "has no name"),
    ] {
        let mut bad = good.clone();
        bad.set(claim, value);
        let error = believe(&settings("i"), &bad, 100).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn expressions_make_the_user_and_refuse_it() {
    let by_expression = Settings {
        username: Source::Expression(expression("claims.sub + '@' + claims.hd")),
        groups: Some(Source::Expression(expression("claims.groups.filter(group, group != 'b')"))),
        uid: Some(Source::Expression(expression("claims.jti"))),
        extra: vec![("example.com/domain".to_owned(), expression("claims.hd"))],
        claim_rules: vec![rule(About::Claims, "claims.exp - 100 <= 60", "lives too long")],
        user_rules: vec![rule(About::User, "user.groups == ['a'] && user.uid == 'j'", "wrong user")],
        ..settings("i")
    };
    let good = claims("i", 100);
    let identity = believe(&by_expression, &good, 100).unwrap();
    assert_eq!((identity.name.as_str(), identity.uid.as_str()), ("1@x", "j"));
    assert_eq!(identity.groups, ["a", "system:authenticated"]);
    assert_eq!(identity.extra["example.com/domain"], ["x"]);
    for (claim, value, why) in [
        (
            "exp",
            Value::from(1_000i64),
            "claim validation expression: validation expression 'claims.exp - 100 <= 60' failed: lives",
        ),
        ("jti", Value::from("other"), "user info validation rule: validation expression"),
        ("jti", Value::from(3i64), "uid claim expression must return a string"),
        ("sub", Value::from(3i64), "error evaluating username claim expression: "),
        ("groups", Value::from("a"), "error evaluating group claim expression: "),
    ] {
        let mut bad = good.clone();
        bad.set(claim, value);
        let error = believe(&by_expression, &bad, 100).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let nameless = Settings { username: Source::Expression(expression("''")), ..settings("i") };
    let error = believe(&nameless, &good, 100).unwrap_err();
    assert_eq!(error, "oidc: empty username via CEL expression is not allowed");
}

#[tokio::test]
async fn keys_are_fetched_from_the_issuer() {
    let env = Env::real();
    let ours = Arc::new(keys(&rcgen::KeyPair::generate().unwrap().serialize_pem()));
    let address = Arc::new(std::sync::OnceLock::new());
    let (published, place) = (ours.clone(), address.clone());
    let answers: Answers = Arc::new(move |path, _| match path {
        "/.well-known/openid-configuration" => {
            let url: &String = place.get().unwrap();
            let keys = format!("{url}/keys");
            (200, Value::from([("issuer", Value::from(url.as_str())), ("jwks_uri", Value::from(keys))]))
        }
        "/keys" => (200, published.key_set()),
        _ => (404, Value::object()),
    });
    let (served, ca) = serve(&env, answers).await;
    let url = format!("https://{served}");
    address.set(url.clone()).unwrap();
    let issuer = Issuer::new(&env, Settings { ca, ..settings(&url) }).unwrap();
    let now = env.clock.now().secs();
    let text = ours.sign(&claims(&url, now)).unwrap();
    let token = Token::parse(&text).unwrap();
    assert!(issuer.issued(&token));
    assert_eq!(issuer.identify(&token).await.unwrap().name, "oidc:ann");
    let others = keys(&rcgen::KeyPair::generate().unwrap().serialize_pem());
    let text = others.sign(&claims(&url, now)).unwrap();
    let error = issuer.identify(&Token::parse(&text).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "no key of the issuer signed the token");
    env.tasks.stop(Duration::from_secs(5)).await;
}
