//! The language itself.

use super::check_plain;

#[test]
fn literals_are_values() {
    check_plain(
        r#"
        1 ⇒ 1
        -1 ⇒ -1
        0x1f ⇒ 31
        -0x1f ⇒ -31
        1u ⇒ 1u
        0xffu ⇒ 255u
        1.5 ⇒ 1.5
        1e3 ⇒ 1000.0
        .5 ⇒ 0.5
        true ⇒ true
        null ⇒ null
        'a' ⇒ 'a'
        "a" ⇒ 'a'
        'it\'s' ⇒ 'it's'
        r'\d' ⇒ '\d'
        '\u00e9' ⇒ 'é'
        b'a\xff' ⇒ b[97, 255]
        b'é' ⇒ b[195, 169]
        [] ⇒ []
        [1, 2,] ⇒ [1, 2]
        {} ⇒ {}
        {'a': 1, 'b': 2,} ⇒ {'a': 1, 'b': 2}
        {1: 'a', true: 'b'} ⇒ ? expected type 'int' but found 'bool'
        [1, 'a'] ⇒ ? expected type 'int' but found 'string'
        [1, dyn('a')] ⇒ [1, 'a']
        9223372036854775807 ⇒ 9223372036854775807
        -9223372036854775808 ⇒ -9223372036854775808
        9223372036854775808 ⇒ ? invalid int literal
        18446744073709551616u ⇒ ? invalid uint literal
        // only a comment ⇒ ? Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
        "#,
    );
}

#[test]
fn arithmetic_is_exact_or_fails() {
    check_plain(
        r"
        1 + 2 * 3 ⇒ 7
        (1 + 2) * 3 ⇒ 9
        7 / 2 ⇒ 3
        -7 / 2 ⇒ -3
        7 % 3 ⇒ 1
        -7 % 3 ⇒ -1
        1 - 2 - 3 ⇒ -4
        - (1) ⇒ -1
        --1 ⇒ 1
        ---1 ⇒ -1
        !true ⇒ false
        !!true ⇒ true
        1u + 2u ⇒ 3u
        1u - 2u ⇒ ! unsigned integer overflow
        2u * 3u ⇒ 6u
        7u / 2u ⇒ 3u
        7u % 2u ⇒ 1u
        1.5 + 1.5 ⇒ 3.0
        1.0 / 0.0 ⇒ +Inf
        -1.0 / 0.0 ⇒ -Inf
        1 / 0 ⇒ ! division by zero
        1u / 0u ⇒ ! division by zero
        1 % 0 ⇒ ! modulus by zero
        9223372036854775807 + 1 ⇒ ! integer overflow
        -9223372036854775808 - 1 ⇒ ! integer overflow
        9223372036854775807 * 2 ⇒ ! integer overflow
        -9223372036854775808 / -1 ⇒ ! integer overflow
        -(-9223372036854775808) ⇒ ! integer overflow
        18446744073709551615u + 1u ⇒ ! unsigned integer overflow
        1 + 1.0 ⇒ ? found no matching overload for '_+_' applied to '(int, double)'
        1 + 'a' ⇒ ? found no matching overload for '_+_' applied to '(int, string)'
        -'a' ⇒ ? found no matching overload for '-_' applied to '(string)'
        !1 ⇒ ? found no matching overload for '!_' applied to '(int)'
        dyn(1) + 'a' ⇒ ! no such overload
        'a' + 'b' ⇒ 'ab'
        b'a' + b'b' ⇒ b[97, 98]
        [1] + [2, 3] ⇒ [1, 2, 3]
        [1] + [] ⇒ [1]
        [1] + ['a'] ⇒ ? found no matching overload for '_+_' applied to '(list(int), list(string))'
        ",
    );
}

#[test]
fn comparisons_work_across_kinds_of_numbers() {
    check_plain(
        r"
        1 < 2 ⇒ true
        2 <= 2 ⇒ true
        1 > 2 ⇒ false
        1 >= 2 ⇒ false
        1 < 1.5 ⇒ true
        1.5 < 2u ⇒ true
        1u < 2 ⇒ true
        -1 < 1u ⇒ true
        9223372036854775807 < 9223372036854775808.0 ⇒ true
        1 == 1 ⇒ true
        1 != 1 ⇒ false
        1 == 1.0 ⇒ ? found no matching overload for '_==_' applied to '(int, double)'
        dyn(1) == 1.0 ⇒ true
        dyn(1) == 1u ⇒ true
        dyn(1) == 'a' ⇒ false
        dyn(1) != 'a' ⇒ true
        'a' < 'b' ⇒ true
        'a' < 'B' ⇒ false
        b'a' < b'b' ⇒ true
        false < true ⇒ true
        [1, 2] == [1, 2] ⇒ true
        [1, 2] == [2, 1] ⇒ false
        [[1], [2]] == [[1], [2]] ⇒ true
        {'a': 1} == {'a': 1} ⇒ true
        {'a': 1} == {'a': 2} ⇒ false
        {'a': 1, 'b': 2} == {'b': 2, 'a': 1} ⇒ true
        null == null ⇒ true
        'a' == null ⇒ ? found no matching overload for '_==_' applied to '(string, null)'
        dyn('a') == null ⇒ false
        [1] < [2] ⇒ ? found no matching overload for '_<_' applied to '(list(int), list(int))'
        1 < 'a' ⇒ ? found no matching overload for '_<_' applied to '(int, string)'
        0.0 == -0.0 ⇒ true
        double('NaN') == double('NaN') ⇒ false
        type(1) == int ⇒ true
        type('a') == string ⇒ true
        type([]) == list ⇒ true
        type({}) == map ⇒ true
        type(null) == null_type ⇒ true
        type(1) == uint ⇒ false
        type(type(1)) == type ⇒ true
        ",
    );
}

#[test]
fn what_decides_alone_decides() {
    check_plain(
        r"
        true && true ⇒ true
        true && false ⇒ false
        false || true ⇒ true
        false || false ⇒ false
        true || 1 / 0 > 0 ⇒ true
        1 / 0 > 0 || true ⇒ true
        false && 1 / 0 > 0 ⇒ false
        1 / 0 > 0 && false ⇒ false
        1 / 0 > 0 && true ⇒ ! division by zero
        1 / 0 > 0 || false ⇒ ! division by zero
        dyn(1) || true ⇒ true
        dyn(1) && true ⇒ ! no such overload
        true && 1 ⇒ ? found no matching overload for '_&&_' applied to '(bool, int)'
        true ? 1 : 2 ⇒ 1
        false ? 1 : 2 ⇒ 2
        true ? 1 : 1 / 0 ⇒ 1
        true ? 1 : 'a' ⇒ ? found no matching overload for '_?_:_' applied to '(bool, int, string)'
        true ? dyn(1) : 'a' ⇒ 1
        1 ? 2 : 3 ⇒ ? found no matching overload for '_?_:_' applied to '(int, int, int)'
        false ? 1 : true ? 2 : 3 ⇒ 2
        true && true && true && true && false ⇒ false
        true || false && false ⇒ true
        ",
    );
}

#[test]
fn lists_and_maps_are_looked_into() {
    check_plain(
        r"
        [1, 2, 3][1] ⇒ 2
        [1, 2, 3][3] ⇒ ! index out of bounds: 3
        [1][-1] ⇒ ! index out of bounds: -1
        [1][dyn(0.0)] ⇒ 1
        [1][dyn('a')] ⇒ ! unsupported index type 'string' in list
        ['a']['b'] ⇒ ? found no matching overload for '_[_]' applied to '(list(string), string)'
        {'a': 1}['a'] ⇒ 1
        {'a': 1}.a ⇒ 1
        {'a': 1}['b'] ⇒ ! no such key: b
        {'a': 1}.b ⇒ ! no such key: b
        {1: 'a'}[1] ⇒ 'a'
        {1: 'a'}[dyn(1u)] ⇒ 'a'
        {1: 'a'}[dyn(1.0)] ⇒ 'a'
        {true: 1}[true] ⇒ 1
        {1.5: 1} ⇒ ! unsupported key type
        1 in [1, 2] ⇒ true
        3 in [1, 2] ⇒ false
        'a' in {'a': 1} ⇒ true
        'b' in {'a': 1} ⇒ false
        'a' in [1] ⇒ ? found no matching overload for '@in' applied to '(string, list(int))'
        'a' in dyn([1]) ⇒ false
        has({'a': 1}.a) ⇒ true
        has({'a': 1}.b) ⇒ false
        has({'a': {'b': 1}}.a.b) ⇒ true
        has([1]) ⇒ ? invalid argument to has() macro
        size([1, 2]) ⇒ 2
        [1, 2].size() ⇒ 2
        size({'a': 1}) ⇒ 1
        size('héé') ⇒ 3
        'abc'.size() ⇒ 3
        size(b'é') ⇒ 2
        size(1) ⇒ ? found no matching overload for 'size' applied to '(int)'
        1.size() ⇒ ? found no matching overload for 'size' applied to 'int.()'
        'abc'[0] ⇒ ? found no matching overload for '_[_]' applied to '(string, int)'
        ",
    );
}

#[test]
fn loops_go_over_lists_and_maps() {
    check_plain(
        r"
        [1, 2, 3].all(x, x > 0) ⇒ true
        [1, 2, 3].all(x, x > 1) ⇒ false
        [].all(x, x > 0) ⇒ true
        [1, 2, 3].exists(x, x == 2) ⇒ true
        [1, 2, 3].exists(x, x == 4) ⇒ false
        [1, 2, 2].exists_one(x, x == 2) ⇒ false
        [1, 2, 3].exists_one(x, x == 2) ⇒ true
        [1, 2, 3].existsOne(x, x == 2) ⇒ true
        [1, 2, 3].map(x, x * 2) ⇒ [2, 4, 6]
        [1, 2, 3].map(x, x > 1, x * 2) ⇒ [4, 6]
        [1, 2, 3].filter(x, x > 1) ⇒ [2, 3]
        {'a': 1, 'b': 2}.all(k, k != 'c') ⇒ true
        {'a': 1, 'b': 2}.map(k, k) ⇒ ['a', 'b']
        {'a': 1, 'b': 2}.filter(k, k == 'a') ⇒ ['a']
        [1, 2].map(x, [3, 4].map(y, x * y)) ⇒ [[3, 4], [6, 8]]
        [[1, 2], [3]].map(x, x.filter(y, y > 1)) ⇒ [[2], [3]]
        [1, 2].all(x, [3, 4].exists(y, y > x && [x].all(z, z < y))) ⇒ true
        [1, 0].all(x, 1 / x > 0) ⇒ ! division by zero
        [0, 2].all(x, 1 / x > 0) ⇒ false
        [0, 1].exists(x, 1 / x > 0) ⇒ true
        [1, 0].exists(x, 1 / x > 1) ⇒ ! division by zero
        [1, 0].map(x, 1 / x) ⇒ ! division by zero
        [1, 0].filter(x, 1 / x > 0) ⇒ ! division by zero
        [1, 2, 3].all(x, x) ⇒ ? found no matching overload for '_&&_' applied to '(bool, int)'
        [1].map(x.y, 1) ⇒ ? argument must be a simple name
        [1].all(1, true) ⇒ ? argument must be a simple name
        1.all(x, true) ⇒ ? expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)
        [1].all(x) ⇒ ? undeclared reference to 'all' (in container '') ¦ undeclared reference to 'x' (in container '')
        ['a', 'b'].all(i, v, i < 2 && v != 'c') ⇒ true
        ['a', 'b'].exists(i, v, i == 1 && v == 'b') ⇒ true
        {'a': 1}.all(k, v, k == 'a' && v == 1) ⇒ true
        {'a': 1, 'b': 1}.existsOne(k, v, v == 1) ⇒ false
        [1, 2].transformList(i, v, i * v) ⇒ [0, 2]
        [1, 2].transformList(i, v, v > 1, i * v) ⇒ [2]
        {'a': 1}.transformList(k, v, k + string(v)) ⇒ ['a1']
        [1, 2].transformMap(i, v, v * 10) ⇒ {0: 10, 1: 20}
        {'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10) ⇒ {'b': 20}
        {'a': 'x', 'b': 'y'}.transformMapEntry(k, v, {v: k}) ⇒ {'x': 'a', 'y': 'b'}
        {'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k}) ⇒ ! insert failed: key x already exists
        [1].all(x, x, true) ⇒ ? duplicate variable name: x
        cel.bind(a, 1 + 1, a * a) ⇒ 4
        cel.bind(a, 1, cel.bind(b, a + 1, a + b)) ⇒ 3
        cel.bind(a, [1, 2], a.map(x, x + a.size())) ⇒ [3, 4]
        cel.bind(a, 1 / 0, 5) ⇒ 5
        ",
    );
}

#[test]
fn values_may_be_missing() {
    check_plain(
        r"
        optional.of(1) ⇒ some(1)
        optional.none() ⇒ none
        optional.ofNonZeroValue(0) ⇒ none
        optional.ofNonZeroValue('a') ⇒ some('a')
        optional.of(1).hasValue() ⇒ true
        optional.none().hasValue() ⇒ false
        optional.of(1).value() ⇒ 1
        optional.none().value() ⇒ ! optional.none() dereference
        optional.of(1).orValue(2) ⇒ 1
        optional.none().orValue(2) ⇒ 2
        optional.none().or(optional.of(3)) ⇒ some(3)
        optional.of(1).or(optional.of(3)) ⇒ some(1)
        optional.of(1).orValue(1 / 0) ⇒ 1
        {'a': 1}.?a ⇒ some(1)
        {'a': 1}.?b ⇒ none
        {'a': 1}[?'a'] ⇒ some(1)
        {'a': 1}[?'b'] ⇒ none
        [1, 2][?1] ⇒ some(2)
        [1, 2][?5] ⇒ none
        {'a': {'b': 1}}.?a.b ⇒ some(1)
        {'a': {'b': 1}}.?a.?c ⇒ none
        {'a': {'b': 1}}.?x.b ⇒ none
        {'a': {'b': 1}}.?a.?b.orValue(5) ⇒ 1
        {'a': [1]}.?a[0] ⇒ some(1)
        [?optional.of(1), ?optional.none(), 3] ⇒ [1, 3]
        {?'a': optional.of(1), ?'b': optional.none()} ⇒ {'a': 1}
        optional.of(2).optMap(x, x * 2) ⇒ some(4)
        optional.none().optMap(x, x * 2) ⇒ none
        optional.of(2).optFlatMap(x, optional.of(x * 3)) ⇒ some(6)
        optional.of(1) == optional.of(1) ⇒ true
        optional.of(1) == optional.none() ⇒ false
        optional.unwrap([optional.of(1), optional.none()]) ⇒ [1]
        [1, 2].first() ⇒ some(1)
        [1, 2].last() ⇒ some(2)
        [].first() ⇒ none
        [1][?'a'] ⇒ ? found no matching overload for '_[?_]' applied to '(list(int), string)'
        ",
    );
}
