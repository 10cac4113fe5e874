//! What is wrong with expressions, word for word.

use super::super::{Declaration, Environment, Sameness, Type};

fn environment() -> Environment {
    let inner = Declaration::object("Inner", vec![("x".into(), Declaration::of(Type::Int))]);
    let own = Declaration::object(
        "Self",
        vec![
            ("a".into(), Declaration::of(Type::Int)),
            ("s".into(), Declaration::of(Type::String)),
            ("l".into(), Declaration::list(inner.clone(), Sameness::Ordered)),
            ("m".into(), Declaration::map(Declaration::of(Type::String))),
            ("inner".into(), inner),
            ("namespace".into(), Declaration::of(Type::String)),
        ],
    );
    Environment::kubernetes().with("self", own).with("object", Declaration::dynamic())
}

const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

#[test]
fn problems_are_told_in_upstreams_words() {
    let cases: Vec<(&str, String)> = vec![
        ("object.x ==", format!("ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>' expecting {OPERAND}\n | object.x ==\n | ...........^")),
        ("[JSONPatch{", "ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}\n | [JSONPatch{\n | ...........^".to_owned()),
        ("nothing.x", "ERROR: <input>:1:1: undeclared reference to 'nothing' (in container '')\n | nothing.x\n | ^".to_owned()),
        ("self.b", "ERROR: <input>:1:5: undefined field 'b'\n | self.b\n | ....^".to_owned()),
        ("self.a == 'x'", "ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'\n | self.a == 'x'\n | .......^".to_owned()),
        ("self.s.foo", "ERROR: <input>:1:7: type 'string' does not support field selection\n | self.s.foo\n | ......^".to_owned()),
        ("self.s.startsWith(1)", "ERROR: <input>:1:18: found no matching overload for 'startsWith' applied to 'string.(int)'\n | self.s.startsWith(1)\n | .................^".to_owned()),
        ("foo(1)", "ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')\n | foo(1)\n | ...^".to_owned()),
        ("self.l.all(i, i.y > 1)", "ERROR: <input>:1:16: undefined field 'y'\n | self.l.all(i, i.y > 1)\n | ...............^".to_owned()),
        ("a | b", "ERROR: <input>:1:3: Syntax error: token recognition error at: '| '\n | a | b\n | ..^\nERROR: <input>:1:5: Syntax error: extraneous input 'b' expecting <EOF>\n | a | b\n | ....^".to_owned()),
        ("", format!("ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {OPERAND}")),
        ("1 + *", format!("ERROR: <input>:1:5: Syntax error: mismatched input '*' expecting {OPERAND}\n | 1 + *\n | ....^\nERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {OPERAND}\n | 1 + *\n | .....^")),
        ("*/", format!("ERROR: <input>:1:1: Syntax error: mismatched input '*' expecting {OPERAND}\n | */\n | ^\nERROR: <input>:1:2: Syntax error: mismatched input '/' expecting {OPERAND}\n | */\n | .^\nERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {OPERAND}\n | */\n | ..^")),
        ("/ + 1", format!("ERROR: <input>:1:1: Syntax error: mismatched input '/' expecting {OPERAND}\n | / + 1\n | ^\nERROR: <input>:1:3: Syntax error: extraneous input '+' expecting {OPERAND}\n | / + 1\n | ..^")),
        ("(*)", format!("ERROR: <input>:1:2: Syntax error: mismatched input '*' expecting {OPERAND}\n | (*)\n | .^\nERROR: <input>:1:3: Syntax error: mismatched input ')' expecting {OPERAND}\n | (*)\n | ..^")),
        ("1 + + 2", format!("ERROR: <input>:1:5: Syntax error: extraneous input '+' expecting {OPERAND}\n | 1 + + 2\n | ....^")),
        ("a/..b", "ERROR: <input>:1:4: Syntax error: no viable alternative at input '..'\n | a/..b\n | ...^".to_owned()),
        (".", "ERROR: <input>:1:2: Syntax error: no viable alternative at input '.'\n | .\n | .^".to_owned()),
        ("(1 + 2", "ERROR: <input>:1:7: Syntax error: missing ')' at '<EOF>'\n | (1 + 2\n | ......^".to_owned()),
        ("self.", "ERROR: <input>:1:6: Syntax error: no viable alternative at input '.'\n | self.\n | .....^".to_owned()),
        ("{", "ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | {\n | .^".to_owned()),
        ("t{>C}", "ERROR: <input>:1:3: Syntax error: extraneous input '>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}\n | t{>C}\n | ..^\nERROR: <input>:1:5: Syntax error: mismatched input '}' expecting ':'\n | t{>C}\n | ....^".to_owned()),
        ("1 + 2\n3 +", "ERROR: <input>:2:1: Syntax error: mismatched input '3' expecting <EOF>\n | 3 +\n | ^".to_owned()),
        ("has(self)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(self)\n | ....^".to_owned()),
        ("break", "ERROR: <input>:1:1: reserved identifier: break\n | break\n | ^".to_owned()),
        ("self.a > 1 && self.b > 2 || self.c", "ERROR: <input>:1:19: undefined field 'b'\n | self.a > 1 && self.b > 2 || self.c\n | ..................^\nERROR: <input>:1:33: undefined field 'c'\n | self.a > 1 && self.b > 2 || self.c\n | ................................^".to_owned()),
    ];
    for (source, expected) in cases {
        let found = environment().compile(source).map(|program| program.output().to_string());
        assert_eq!(found.map_err(|issues| issues.to_string()), Err(expected), "{source}");
    }
}

#[test]
fn the_type_of_a_result_is_known() {
    for (source, expected) in [
        ("1", "int"),
        ("self.a > 1", "bool"),
        ("self.s", "string"),
        ("self.l", "list(Inner)"),
        ("self.m", "map(string, string)"),
        ("self.m.x", "string"),
        ("self.m['x']", "string"),
        ("self.inner", "Inner"),
        ("self.__namespace__", "string"),
        ("object.anything[0].more", "dyn"),
        ("self.l.map(i, i.x)", "list(int)"),
        ("self.l.filter(i, i.x > 1)", "list(Inner)"),
        ("self.?inner.x", "optional_type(int)"),
        ("self.l[?0].?x.orValue(3)", "int"),
        ("[]", "list(dyn)"),
        ("[] + [1]", "list(int)"),
        ("{}", "map(dyn, dyn)"),
        ("timestamp('2024-01-01T00:00:00Z')", "google.protobuf.Timestamp"),
        ("type(1)", "type(int)"),
        ("true ? self.inner : null", "Inner"),
        ("object.a + object.b", "dyn"),
        ("object.a + 1", "int"),
        ("self.l.transformMap(i, v, v.x)", "map(int, int)"),
        ("optional.none().orValue(1)", "int"),
        ("url('https://a').getQuery()", "map(string, list(string))"),
    ] {
        let found = environment().compile(source).map(|program| program.output().to_string());
        assert_eq!(found.as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn long_chains_are_fine_and_deep_ones_are_refused() {
    let chain = |operator: &str, count: usize| vec!["true"; count].join(operator);
    assert!(environment().compile(&chain(" && ", 2000)).is_ok());
    let deep = vec!["1"; 400].join(" + ");
    let nested = format!("{}1{}", "(".repeat(300), ")".repeat(300));
    let lists = format!("{}{}", "[".repeat(300), "]".repeat(300));
    for source in [deep, nested, lists] {
        let found = environment().compile(&source).unwrap_err().to_string();
        assert!(found.contains("expression recursion limit exceeded: 250"), "{found}");
    }
    let long = format!("'{}'", "a".repeat(100_001));
    let found = environment().compile(&long).unwrap_err().to_string();
    assert!(
        found.contains("expression code point size exceeds limit: size: 100003, limit 100000"),
        "{found}"
    );
}

#[test]
fn patches_are_typed() {
    let environment = environment().with_patch_types();
    for (source, expected) in [
        ("Object{metadata: Object.metadata{labels: {'a': 'b'}}}", Ok("Object")),
        ("Object{spec: Object.spec{replicas: 1}}", Ok("Object")),
        ("[JSONPatch{op: 'add', path: '/a', value: 1}]", Ok("list(JSONPatch)")),
        ("JSONPatch{op: 1}", Err("expected type of field 'op' is 'string' but provided type is 'int'")),
        ("JSONPatch{foo: 1}", Err("undefined field 'foo'")),
        ("Other{a: 1}", Err("undeclared reference to 'Other' (in container '')")),
    ] {
        let found = environment.compile(source).map(|program| program.output().to_string());
        let found = found.map_err(|issues| issues.iter().next().unwrap().message.clone());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{source}");
    }
}
