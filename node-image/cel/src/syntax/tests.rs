//! Texts and what is said about them.

use super::*;

#[test]
fn texts_are_refused_as_upstream_does() {
    let check = |text: &str, expect: &str| {
        let error = parse(text, MacroSet::default()).map(|parsed| parsed.expr).unwrap_err();
        let found = error.to_string();
        assert!(found.contains(expect), "{text}: {found}");
    };
    check("a +", "1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.'");
    check("", "Syntax error: mismatched input '<EOF>' expecting");
    check("a == 1 1", "1:8: Syntax error: extraneous input '1' expecting <EOF>");
    check("\"open", "1:1: Syntax error: token recognition error at: '\"open'");
    check("a # b", "1:3: Syntax error: token recognition error at: '#'");
    check("a ? b", "Syntax error: mismatched input '<EOF>' expecting ':'");
    check("99999999999999999999", "invalid int literal");
    check("1e999", "invalid double literal");
    check("for", "1:1: reserved identifier: for");
    check("a.`b`", "unsupported syntax: '`'");
    check("has(a)", "1:5: invalid argument to has() macro");
    check("a.all(b.c, true)", "argument must be a simple name");
    check("a.all(x, x, true)", "duplicate variable name: x");
    check("a.optMap(b.c, 1)", "optMap() variable name must be a simple identifier");
    check("'\\ud800'", "invalid unicode code point");
    check(&"(".repeat(300), "expression recursion limit exceeded: 250");
    check(&format!("a{}", ".b".repeat(300)), "expression recursion limit exceeded: 250");
    check(&format!("1{}", "+1".repeat(300)), "expression recursion limit exceeded: 250");
    check(&"a".repeat(100_001), "expression code point size exceeds limit: size: 100001");
}

#[test]
fn texts_are_read() {
    let check = |text: &str| {
        let parsed = parse(text, MacroSet { bind: true });
        assert!(
            parsed.is_ok(),
            "{text}: {}",
            parsed.err().map_or(String::new(), |e| e.to_string())
        );
    };
    check("a.b.c(1, 'x')[0] ? -1 : !!true");
    check("-(-a) - -1 - --2");
    check("{'a': 1, ?'b': c.?d[?0], }");
    check("[1, ?a, ]");
    check("Object{spec: Object.spec{replicas: 1}}");
    check("a.map(x, x > 1, x + 1).transformMap(k, v, v)");
    check("cel.bind(x, 1, x) // comment");
    check("r'\\d' + '''a\nb''' + \"\\u00e9\\x41\\101\"");
    check(".a.b == 1.5e3 && 0x1F == 7u");
    check(&format!("a{}", " || b".repeat(5_000)));
    check(&format!("{}1", "-".repeat(5_000)));
    check(&format!("[{}]", "1,".repeat(20_000)));
}
