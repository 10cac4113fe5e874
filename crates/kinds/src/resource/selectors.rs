//! Expressions that choose devices.

use machinery::cel::{Declaration, Environment, Program, Type};
use smol_str::SmolStr;

/// What one look at a device may cost.
pub(super) const COST_MAX: u64 = 1_000_000;
/// How long the name of a driver is at most.
const DRIVER_MAX: u64 = 63;
/// How many attributes and capacities a device has at most.
const NAMES_MAX: u64 = 32;
/// How long the text of an attribute is at most.
const ATTRIBUTE_MAX: u64 = 64;

/// What such an expression can refer to.
fn environment() -> Environment {
    let field = |name: &'static str, declaration: Declaration| (SmolStr::new_static(name), declaration);
    // Attributes and capacities are known by domain and name; what they are, only a device tells.
    let by_domain =
        |what: Declaration| Declaration::map(Declaration::map(what).at_most(NAMES_MAX)).at_most(NAMES_MAX);
    let device = Declaration::plain_object(
        "kubernetes.DRADevice",
        vec![
            field("driver", Declaration::of(Type::String).at_most(DRIVER_MAX)),
            field("attributes", by_domain(Declaration::dynamic().at_most(ATTRIBUTE_MAX))),
            field("capacity", by_domain(Declaration::of(Type::Opaque("kubernetes.Quantity")))),
            field("allowMultipleAllocations", Declaration::of(Type::Bool)),
        ],
    );
    Environment::kubernetes().with_bindings().with("device", device)
}

/// Compiles the expression of a selector. What is wrong is told as upstream tells it.
pub fn compile(expression: &str) -> Result<Program, String> {
    let program =
        environment().compile(expression).map_err(|issues| format!("compilation failed: {issues}"))?;
    match program.output() {
        Type::Bool | Type::Dyn => Ok(program),
        other => Err(format!("must evaluate to bool or the unknown type, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_look_at_devices() {
        for (source, expected) in [
            ("device.driver == 'd.example.com'", Ok(())),
            ("device.attributes['d.example.com'].model == 'a'", Ok(())),
            ("device.capacity['d.example.com'].memory.isGreaterThan(quantity('1Gi'))", Ok(())),
            ("cel.bind(a, device.attributes['d'], a.x && a.y)", Ok(())),
            ("device.driver", Err("must evaluate to bool or the unknown type, not string")),
            (
                "device.nothing",
                Err(
                    "compilation failed: ERROR: <input>:1:7: undefined field 'nothing'\n | device.nothing\n | ......^",
                ),
            ),
        ] {
            assert_eq!(compile(source).map(|_| ()), expected.map_err(str::to_owned), "{source}");
        }
    }
}
