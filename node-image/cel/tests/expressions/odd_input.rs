//! Odd texts and values: an error, quickly, and never a panic.

use std::time::{Duration, Instant};

use kd_cel::{Activation, Budget, Environment, RUNTIME_BUDGET, Type, Value};
use serde_json::json;

/// Far more than any of the cases takes, far less than an unbounded one would.
const PATIENCE: Duration = Duration::from_secs(20);

fn try_all(expression: &str) {
    let environment = Environment::new().variable("d", Type::Dyn).with_bindings().with_mutation();
    if let Ok(program) = environment.compile(expression) {
        let data = Value::from_json(&json!({"a": [1, "x", null, {"b": 1.5}], "s": "é漢\u{0}"}));
        let activation = Activation::new().with("d", data);
        let _ = program.evaluate(&activation, &mut Budget::new(RUNTIME_BUDGET));
    }
}

#[test]
fn hostile_expressions_end() {
    let started = Instant::now();
    let doubled = |depth: usize| {
        let mut text = "x".to_owned();
        for _ in 0..depth {
            text = format!("cel.bind(x, x + x, {text})");
        }
        text
    };
    let cases = [
        "(".repeat(100_000),
        "[".repeat(249) + "1" + &"]".repeat(249),
        "(".repeat(240) + "1" + &")".repeat(240),
        "-".repeat(90_000) + "1",
        "!".repeat(90_000) + "true",
        format!("d{}", ".a".repeat(249)),
        format!("d{}", "[0]".repeat(249)),
        format!("1{}", "+1".repeat(249)),
        format!("true{}", "&&true".repeat(14_000)),
        format!("true{}", "?true:true".repeat(240)),
        format!("{}true{}", "[1].all(x,".repeat(200), ")".repeat(200)),
        format!("cel.bind(x, [1], {})", doubled(200)),
        format!("cel.bind(x, 'ab', {})", doubled(200)),
        "lists.range(9223372036854775807)".to_owned(),
        "lists.range(-1).size() == 0".to_owned(),
        "lists.range(1000000).map(x, lists.range(1000000)).size() == 0".to_owned(),
        "lists.range(1000).map(a, lists.range(1000)).flatten().distinct().size() == 1".to_owned(),
        "'a'.replace('', 'b'.replace('b', 'c'), 9223372036854775807)".to_owned(),
        "'%.999f%.999f'.format([1e300, 1e-300])".to_owned(),
        "'a'.matches('(((a{100}){100}){100}){100}')".to_owned(),
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.matches('(a*)*b')".to_owned(),
        "[1, 2].sortBy(x, d).size() == 0".to_owned(),
        "[{1: {1: 1}}].map(x, {x: x}).map(x, {x: x}).size() == 0".to_owned(),
        "int('9'.replace('9', '99999999999999999999999999')) == 1".to_owned(),
        "timestamp(253402300799) + duration('2562047h') == timestamp(0)".to_owned(),
        "duration('-2562047h47m16.854775808s') - duration('1ns') == duration('0s')".to_owned(),
        "timestamp('0001-01-01T00:00:00Z') - timestamp('9999-12-31T23:59:59Z') == duration('0s')"
            .to_owned(),
        "timestamp(0).getHours('-99:99') == 0 || timestamp(0).getHours(':') == 0".to_owned(),
        "d.s.charAt(2) + d.s.substring(1, 3) + d.s.lastIndexOf('\u{0}', 3)".to_owned(),
        "d.s.lastIndexOf('漢', 1) == 1 && d.s.lastIndexOf('é漢', 0) == 0".to_owned(),
        "quantity('-9223372036854775808E').sub(quantity('9223372036854775807E')).asInteger() == 1"
            .to_owned(),
        "Object{spec: Object.spec{a: JSONPatch{op: 'add', path: '/', value: d}}}".to_owned(),
        "d.a.map(x, x)[3].b[1.5]".to_owned(),
        "{1: 1}[1e300] == 1 || {1: 1}[0.0 / 0.0] == 1".to_owned(),
        "\u{feff}d".to_owned(),
        "d.\u{e9}".to_owned(),
        "'\\U00110000'".to_owned(),
        "b'\\u00ff'".to_owned(),
        "1.e5 + .5 + 1e+ + 0x".to_owned(),
    ];
    for case in &cases {
        try_all(case);
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn mixed_up_tokens_never_panic() {
    const TOKENS: &[&str] = &[
        "d",
        ".",
        "?",
        "a",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "1",
        "2u",
        "1.5",
        "'x'",
        "b'x'",
        "null",
        "true",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "<",
        "&&",
        "||",
        "!",
        "in",
        ".all(x,",
        ".map(x,",
        ".format(",
        "has(",
        "optional.of(",
        "duration(",
        "int(",
        ".size()",
        ".sort()",
        "cel.bind(y,",
        "Object{",
        ".substring(",
        ".replace(",
        "quantity(",
        "ip(",
        "cidr(",
        "x",
        "y",
        ".transformMap(k,v,",
        ".sortBy(e,",
        "'%s %d'",
        "-9223372036854775808",
        ".?a",
        "[?0]",
    ];
    // A linear congruential sequence: the same texts every time.
    let mut state: u64 = 42;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let length = 1 + next(12);
        let text: String = (0..length).map(|_| TOKENS[next(TOKENS.len())]).collect();
        try_all(&text);
    }
}
