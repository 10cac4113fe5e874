//! CEL: expressions are read, checked, estimated and evaluated; none costs more than it may.

use api::Table;
use machinery::cel::{Activation, Declaration, Environment, Val};
use machinery::{Value, json};

use super::seeds;
use crate::target::{Target, Verdict, holds, outcome};

const WORDS: &[&str] = &[
    "object",
    "params",
    ".spec",
    ".containers",
    ".all(c, ",
    ".exists(x, ",
    ".map(x, ",
    ".filter(x, ",
    "has(",
    ")",
    "[0]",
    "?",
    ":",
    " && ",
    " || ",
    "!",
    " == ",
    " in ",
    "size(",
    "1u",
    "1.5",
    "'a'",
    "b'a'",
    "r'\\'",
    "[1, 2]",
    "{'a': 1}",
    "null",
    "true",
    "int(",
    "string(",
    "timestamp('2024-01-01T00:00:00Z')",
    "duration('1h')",
    "quantity('1Ki')",
    "ip('::1')",
    "cidr('10.0.0.0/8')",
    "url('https://a.b/c')",
    "semver('1.2.3')",
    "format.named('uuid')",
    ".matches('a+')",
    ".findAll('a')",
    "optional.of(",
    ".?",
    "[?",
    ".orValue(",
    "cel.bind(x, ",
    "sets.contains(",
    ".transformList(i, v, ",
    ".existsOne(k, v, ",
    "'%s'.format(",
    ".split(',')",
    "Object{",
    "JSONPatch{op: 'add'}",
    "-9223372036854775808",
    ".sum()",
    ".isSorted()",
    ".lowerAscii()",
    "dyn(",
    "type(",
    " + ",
    " % 0",
    " / 0",
];
const EXPRESSIONS: &[&str] = &[
    "object.spec.containers.all(c, c.image.startsWith('i') && has(c.name))",
    "object.metadata.labels.exists(k, object.metadata.labels[k] == 'b') ? 'x' : string(1 + 2)",
    "params.a.b[0].map(x, x * 2).filter(x, x > 1).size() > 0 || object.metadata.?name.orValue('') == 'p'",
    "quantity('1.5Gi').add(quantity('1Ki')).isGreaterThan(quantity('1G')) && ip('10.0.0.1').family() == 4",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && url('https://u@h:8/p?q=a').getHost() == 'h:8'",
    "timestamp('2024-01-01T00:00:00Z') + duration('1h30m') > timestamp('2023-01-01T00:00:00Z')",
    "'a,b,c'.split(',').transformMap(i, v, string(i) + v).size() == 3 && sets.intersects([1, 2], [2, 3])",
    "cel.bind(x, [1, 2, 3], x.sum() + x.max()) == 9 && '%d %s %.2f'.format([1, 'a', 2.5]) != ''",
    "semver('1.2.3-a+b').compareTo(semver('2.0.0')) < 0 && 'abc'.find('[a-c]+') == 'abc' && [3, 1].isSorted()",
    "Object{metadata: Object.metadata{labels: {'a': 'b'}}}.metadata.labels['a'] == 'b'",
    "[optional.of(1), optional.none()].map(o, o.orValue(7)) == [1, 7] && {?'a': optional.of(1)} == {'a': 1}",
    "b'\\x00\\xff'.size() + size('é') + int('7') - -1 == 4 && 1.5 < 2 && 7u % 2u == 1u && !(null == 1)",
];
/// What an evaluation may cost here: enough for anything that ends, and little enough to end soon.
const LIMIT: u64 = 100_000;

pub fn target() -> Target {
    let table = Table::load();
    let object = Declaration::from_schema(seeds::pod(&table));
    let environment = Environment::kubernetes()
        .with("object", object.clone())
        .with("params", Declaration::dynamic())
        .with_bindings()
        .with_patch_types();
    let pod = json::parse(seeds::POD.as_bytes()).expect("it is JSON");
    let seeds = EXPRESSIONS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let run = move |input: &[u8]| run(input, &environment, (&pod, &object));
    Target { name: "cel", seeds, words: WORDS, run: Box::new(run) }
}

fn run(input: &[u8], environment: &Environment, (pod, object): (&Value, &Declaration)) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let program = match environment.compile(&text) {
        Ok(program) => program,
        Err(issues) => {
            let first = issues.iter().next().map(|issue| issue.message.clone()).unwrap_or_default();
            return Ok(outcome("refused", &first));
        }
    };
    let estimate = program.cost();
    holds("an estimate has its ends in order", estimate.min <= estimate.max)?;
    let params =
        Value::from([("a", Value::from([("b", Value::from(vec![Value::from(vec![Value::Int(1)])]))]))]);
    let object = Val::of(pod, object).map_err(|failure| failure.to_string())?;
    let activation = Activation::new().with("object", object).with("params", Val::dynamic(&params));
    let evaluation = program.evaluate(&activation, LIMIT);
    let again = program.evaluate(&activation, LIMIT);
    holds("an evaluation costs the same each time", evaluation.cost == again.cost)?;
    match evaluation.outcome {
        Ok(value) => {
            holds("what ends has not cost more than it may", evaluation.cost <= LIMIT)?;
            Ok(format!("{:?}", value.ty()).chars().take(60).collect())
        }
        Err(failure) => Ok(outcome("failed", &failure.to_string())),
    }
}
