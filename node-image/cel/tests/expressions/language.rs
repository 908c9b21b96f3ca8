//! The language itself: operators, macros, optionals, types.

use super::{fail, hold};

#[test]
fn operators() {
    hold(&[
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1",
        "7u / 2u == 3u",
        "1.5 + 1.5 == 3.0",
        "-(1 + 1) == -2 && -1 == 0 - 1 && !false && !!true",
        "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2",
        "1 < 2u && 1 < 1.5 && 2u > 1.5",
        "dyn(1) == dyn(1u) && dyn(1) == dyn(1.0)",
        "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]",
        "'a' < 'b' && false < true && b'a' < b'b'",
        "2 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1}",
        "[1, 2][1] == 2 && {'a': 1}['a'] == 1 && {1: 2}[1] == 2",
        "{'a': 1}.a == 1 && {'a': {'b': 2}}.a.b == 2",
        "true ? true : 1 / 0 == 1",
        "0x1F == 31 && '\\u00e9' == 'é' && r'\\d' == '\\\\d' && b'\\xff' != b'\\xfe'",
        "'''a\nb''' == 'a\\nb'",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
        "type(1) == int && type('') == string && type(type(1)) == type && type([]) == list",
        "type(null) == null_type && type(duration('1s')) == google.protobuf.Duration",
    ]);
    fail(&[
        ("1 + 'a'", "1:3: found no matching overload for '_+_' applied to '(int, string)'"),
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("-(-9223372036854775808) == 0", "integer overflow"),
        ("-9223372036854775808 / -1 == 0", "integer overflow"),
        ("18446744073709551615u + 1u == 0u", "unsigned integer overflow"),
        ("[1, 2][2] == 1", "index out of bounds: 2"),
        ("[1, 2][-1] == 1", "index out of bounds: -1"),
        ("{'a': 1}['b'] == 1", "no such key: b"),
        ("{'a': 1}.b == 1", "no such key: b"),
        ("{'a': 1, 'a': 2} == {}", "repeated key"),
        ("[1, 'a'] == []", "expected type 'int' but found 'string'"),
        ("undeclared", "undeclared reference to 'undeclared' (in container '')"),
        ("undeclared()", "undeclared reference to 'undeclared'"),
        ("'a'.nothing()", "undeclared reference to 'nothing'"),
        ("1.b == 1", "type 'int' does not support field selection"),
        ("'a'.b == 1", "type 'string' does not support field selection"),
        (
            "true ? 1 : 'a'",
            "found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        ("1 && true", "expected type 'bool' but found 'int'"),
        ("google.protobuf.Nothing{}", "undeclared reference to 'google.protobuf.Nothing'"),
        ("null == 'a'", "found no matching overload for '_==_' applied to '(null, string)'"),
    ]);
}

#[test]
fn errors_that_another_term_outweighs() {
    hold(&[
        "true || 1 / 0 == 1",
        "1 / 0 == 1 || true",
        "!(false && 1 / 0 == 1)",
        "!(1 / 0 == 1 && false)",
        "[1, 0, 2].exists(x, 2 / x == 1)",
        "![0, 1].all(x, 2 / x == 1)",
    ]);
    fail(&[
        ("1 / 0 == 1 || false", "division by zero"),
        ("[0, 1].all(x, 2 / x == 2)", "division by zero"),
        ("[0].map(x, 1 / x) == [1]", "division by zero"),
        ("d.missing == 1 && true", "no such key: missing"),
    ]);
}

#[test]
fn macros() {
    hold(&[
        "has(d.a) && has(d.a.b) && !has(d.b) && has({'a': 1}.a)",
        "[1, 2, 3].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2, 2].exists_one(x, x == 1)",
        "![1, 1].exists_one(x, x == 1)",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6]",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
        "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])",
        "{'a': 1, 'b': 2}.map(k, k).size() == 2",
        "[[1], [2, 3]].map(x, x.map(y, y + 1)) == [[2], [3, 4]]",
        "[].all(x, false) && ![].exists(x, true)",
        "[1, 2].all(i, v, v == i + 1) && [5].exists(i, v, i == 0 && v == 5)",
        "{'a': 1}.all(k, v, k == 'a' && v == 1) && {'a': 1}.existsOne(k, v, v == 1)",
        "[1, 2].transformList(i, v, i * 10 + v) == [1, 12]",
        "{'a': 1}.transformList(k, v, k) == ['a']",
        "[1, 2].transformMap(i, v, v > 1, v) == {1: 2}",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
        "cel.bind(x, 2, x * x) == 4",
        "d.a.b.exists(x, x == 3)",
    ]);
    fail(&[
        ("1.all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("dyn(1).all(x, true)", "no such overload"),
        ("'a'.all(x, true)", "cannot be range of a comprehension"),
        ("[1].all(x, x)", "expected type 'bool' but found 'int'"),
        ("{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k}) == {}", "key 1 already exists"),
    ]);
}

#[test]
fn optionals() {
    hold(&[
        "optional.of(1).value() == 1 && optional.of(1).hasValue() && !optional.none().hasValue()",
        "d.?a.?b.hasValue() && !d.?b.?c.hasValue()",
        "d.?missing.orValue('x') == 'x'",
        "d.?s.orValue('x') == 'text'",
        "d.?n.hasValue()",
        "[1, 2][?5].orValue(7) == 7 && [1][?0] == optional.of(1)",
        "{'a': 1}[?'b'].or(optional.of(2)).value() == 2",
        "optional.of(1).or(optional.of(1 / 0)).value() == 1",
        "optional.ofNonZeroValue('') == optional.none()",
        "[?d.?missing, 1] == [dyn(1)]",
        "{?'a': optional.none(), 'b': 1} == {'b': 1}",
        "optional.of(2).optMap(x, x * 2).value() == 4",
        "!optional.none().optMap(x, x).hasValue()",
        "d.?a.optFlatMap(x, x.?b).value() == [1, 2, 3]",
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2",
        "[optional.of(1), optional.none()].unwrapOpt() == [1]",
        "optional.unwrap([optional.of(1)]) == [1]",
        "has(d.?a.b) && !has(d.?z.b)",
    ]);
    fail(&[
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("optional.of(1) + 1", "found no matching overload"),
    ]);
}

#[test]
fn conversions() {
    hold(&[
        "int('5') == 5 && int(5.9) == 5 && int(5u) == 5 && int(timestamp('1970-01-01T00:00:05Z')) == 5",
        "uint('5') == 5u && uint(5) == 5u && double('1.5') == 1.5 && double(2) == 2.0",
        "string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(b'a') == 'a'",
        "string(1e21) == '1e+21' && string(0.00001) == '1e-05' && string(100000.0) == '100000'",
        "string(duration('90s')) == '90s' && string(timestamp(0)) == '1970-01-01T00:00:00Z'",
        "bool('true') && !bool('f') && bytes('é') == b'\\xc3\\xa9'",
        "size('é') == 1 && 'abc'.size() == 3 && size([1]) == 1 && size({'a': 1}) == 1 && size(b'é') == 2",
        "dyn(1) == 1",
    ]);
    fail(&[
        ("int('x') == 1", "type conversion error from 'x' to 'int'"),
        ("int(1e30) == 1", "integer overflow"),
        ("uint(-1) == 1u", "unsigned integer overflow"),
        ("string(b'\\xff') == ''", "invalid UTF-8 in bytes, cannot convert to string"),
        ("bool('yes')", "type conversion error from 'yes' to 'bool'"),
        ("duration('1x') == duration('1s')", "1:10: invalid duration argument"),
        ("timestamp('today') == timestamp(0)", "invalid timestamp argument"),
        ("'a'.matches('(')", "invalid matches argument"),
    ]);
}

#[test]
fn times() {
    hold(&[
        "duration('1h') == duration('60m') && duration('1h') > duration('1m')",
        "timestamp('2024-02-29T12:30:15.5Z').getFullYear() == 2024",
        "timestamp('2024-02-29T12:30:15Z').getMonth() == 1",
        "timestamp('2024-02-29T12:30:15Z').getDate() == 29",
        "timestamp('2024-02-29T12:30:15Z').getDayOfMonth() == 28",
        "timestamp('2024-02-29T12:30:15Z').getDayOfYear() == 59",
        "timestamp('2024-02-29T12:30:15Z').getDayOfWeek() == 4",
        "timestamp('2024-02-29T12:30:15Z').getHours() == 12",
        "timestamp('2024-02-29T12:30:15Z').getHours('-08:00') == 4",
        "timestamp('2024-02-29T12:30:15Z').getHours('America/New_York') == 7",
        "timestamp('2024-02-29T12:30:15.250Z').getMilliseconds() == 250",
        "timestamp('2024-01-01T00:00:00Z') + duration('1h') == timestamp('2024-01-01T01:00:00Z')",
        "timestamp('2024-01-01T01:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('1h')",
        "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90",
    ]);
    fail(&[
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1h') == timestamp(0)",
            "timestamp overflow",
        ),
        ("timestamp(9999999999999) == timestamp(0)", "timestamp overflow"),
        ("timestamp(0).getHours('Nowhere/At_All') == 0", "unknown time zone Nowhere/At_All"),
    ]);
}
