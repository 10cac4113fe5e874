use super::*;

fn labels(pairs: &[(&str, &str)]) -> Value {
    let mut map = Value::object();
    for (key, value) in pairs {
        map.set(key, *value);
    }
    map
}

#[test]
fn query_strings_are_read_and_written() {
    for (text, written) in [
        ("", ""),
        ("  ", ""),
        ("a", "a"),
        ("!a", "!a"),
        ("a=b", "a=b"),
        ("a==b", "a=b"),
        ("a!=b", "a!=b"),
        ("a=", "a="),
        (" a = b , c != d ", "a=b,c!=d"),
        ("a in (b,c)", "a in (b,c)"),
        ("a notin (c, b)", "a notin (b,c)"),
        ("a in ()", "a in ()"),
        ("a in (,)", "a in ()"),
        ("a in (b,)", "a in (,b)"),
        ("a>1", "a>1"),
        ("a<1", "a<1"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("z=1,a=2", "a=2,z=1"),
        ("x.io/a=b", "x.io/a=b"),
        ("a,!b", "a,!b"),
        ("a in (b,b)", "a in (b)"),
        ("a=,b", "a=,b"),
    ] {
        match LabelSelector::parse(text) {
            Ok(selector) => assert_eq!(selector.to_string(), written, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn what_is_no_selector_is_refused_in_upstreams_words() {
    for (text, error) in [
        ("a=b,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a==!b", "unable to parse requirement: found '!', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("/n", "unable to parse requirement: <nil>: Invalid value: \"/n\": prefix part must be non-empty"),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap_err(), error, "{text}");
    }
    let error = LabelSelector::parse("n=a_").unwrap_err();
    assert!(
        error.starts_with("unable to parse requirement: values[0][n]: Invalid value: \"a_\": a valid label"),
        "{error}"
    );
    let error = LabelSelector::parse("a/b/c").unwrap_err();
    assert!(
        error.starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key"),
        "{error}"
    );
}

#[test]
fn labels_are_matched() {
    let web = labels(&[("app", "web"), ("tier", "front"), ("size", "5")]);
    for (text, matches) in [
        ("", true),
        ("app", true),
        ("!app", false),
        ("app=web", true),
        ("app=db", false),
        ("app!=db", true),
        ("none!=db", true),
        ("none=", false),
        ("app in (a,web)", true),
        ("app notin (web)", false),
        ("none notin (web)", true),
        ("none in (web)", false),
        ("size>4", true),
        ("size>5", false),
        ("size<6", true),
        ("app>1", false),
        ("none<1", false),
        ("app=web,tier=back", false),
        ("app=web,tier=front,!none", true),
    ] {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.matches_map(&web), matches, "{text}");
    }
    assert!(!LabelSelector::nothing().matches_map(&web));
    assert!(LabelSelector::everything().matches_map(&Value::Null));
}

#[test]
fn documents_are_selectors() {
    let expression = |operator: &str, values: &[&str]| {
        Value::from([
            ("key", Value::from("tier")),
            ("operator", Value::from(operator)),
            ("values", Value::Array(values.iter().map(|value| Value::from(*value)).collect())),
        ])
    };
    let document = |expression: Value| {
        Value::from([
            ("matchLabels", labels(&[("app", "web")])),
            ("matchExpressions", Value::from(vec![expression])),
        ])
    };
    for (operator, values, text) in [
        ("In", &["b", "a"] as &[&str], "app=web,tier in (a,b)"),
        ("NotIn", &["a"], "app=web,tier notin (a)"),
        ("Exists", &[], "app=web,tier"),
        ("DoesNotExist", &[], "app=web,!tier"),
    ] {
        let selector = LabelSelector::from_document(&document(expression(operator, values))).unwrap();
        assert_eq!(selector.to_string(), text);
    }
    let error = LabelSelector::from_document(&document(expression("Near", &[]))).unwrap_err();
    assert_eq!(error, "\"Near\" is not a valid label selector operator");
    assert!(LabelSelector::from_document(&document(expression("In", &[]))).is_err());
    assert_eq!(LabelSelector::from_document(&Value::Null), Ok(LabelSelector::nothing()));
    assert!(LabelSelector::from_document(&Value::object()).unwrap().is_everything());
}

#[test]
fn fields_are_selected() {
    let selector = FieldSelector::parse("status.phase!=Running,metadata.name==a").unwrap();
    assert_eq!(selector.exact("metadata.name"), Some("a"));
    assert_eq!(selector.exact("status.phase"), None);
    let fields = |name: &'static str, phase: &'static str| {
        move |field: &str| if field == "metadata.name" { name } else { phase }
    };
    assert!(selector.matches(fields("a", "Pending")));
    assert!(!selector.matches(fields("a", "Running")));
    assert!(!selector.matches(fields("b", "Pending")));
    assert!(FieldSelector::parse("").unwrap().is_everything());
    assert_eq!(FieldSelector::parse("a=x\\,y\\=\\\\").unwrap().exact("a"), Some("x,y=\\"));
    for (text, error) in [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=x\\", "invalid field selector: invalid escape sequence: \\"),
    ] {
        assert_eq!(FieldSelector::parse(text).unwrap_err(), error, "{text}");
    }
}
