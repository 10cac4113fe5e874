//! Filters against a model of what they should decide.

use super::*;
use crate::seccomp::simulate::{NATIVE, run};

fn only(condition: Condition) -> Vec<Instruction> {
    let case = Case { conditions: vec![condition], action: Action::ALLOW };
    let rules = Rules {
        cases: BTreeMap::from([(7, vec![case])]),
        otherwise: Action::errno(1),
        unknown: Action::errno(38),
        newest: 400,
    };
    compile(&rules).unwrap()
}

#[test]
fn arguments_of_64_bits_are_compared_right() {
    let values = [0, 1, 5, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005, 0x2_0000_0000, u64::MAX];
    type Model = fn(u64, u64) -> bool;
    let comparisons: [(Comparison, Model); 7] = [
        (Comparison::Equal, |a, b| a == b),
        (Comparison::NotEqual, |a, b| a != b),
        (Comparison::Less, |a, b| a < b),
        (Comparison::LessOrEqual, |a, b| a <= b),
        (Comparison::Greater, |a, b| a > b),
        (Comparison::GreaterOrEqual, |a, b| a >= b),
        (Comparison::Masked(0x1_0000_0005), |a, b| a & 0x1_0000_0005 == b),
    ];
    for (comparison, model) in comparisons {
        for value in values {
            let program = only(Condition { argument: 2, comparison, value });
            for given in values {
                let allowed = run(&program, NATIVE, 7, [9, 9, given, 9, 9, 9]) == Action::ALLOW;
                assert_eq!(allowed, model(given, value), "{given:#x} {comparison:?} {value:#x}");
            }
        }
    }
}

#[test]
fn each_number_finds_its_rule() {
    let cases = (0..400u32)
        .filter(|number| number % 3 == 0 || number % 7 == 0)
        .map(|number| (number, vec![Case { conditions: vec![], action: Action::errno(100 + number) }]));
    let rules = Rules {
        cases: cases.collect(),
        otherwise: Action::errno(1),
        unknown: Action::errno(38),
        newest: 399,
    };
    let program = compile(&rules).unwrap();
    for number in 0..500 {
        let expected = match number {
            400.. => Action::errno(38),
            _ if number % 3 == 0 || number % 7 == 0 => Action::errno(100 + number),
            _ => Action::errno(1),
        };
        assert_eq!(run(&program, NATIVE, number, [0; 6]), expected, "{number}");
    }
    assert_eq!(run(&program, 0x4000_0003, 0, [0; 6]), Action::errno(38), "another machine language");
    assert_eq!(run(&program, NATIVE, 0x4000_0000, [0; 6]), Action::errno(38), "x32");
}
