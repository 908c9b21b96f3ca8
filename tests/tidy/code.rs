//! Rust text without its comments, strings and tests, and the functions in it. Knows just enough of
//! the grammar for that.

/// The text with everything in comments, strings and characters blanked; lines stay where they are.
pub fn without_texts(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = text_end(&chars, at).unwrap_or(at);
        for c in &chars[at..end] {
            code.push(if *c == '\n' { '\n' } else { ' ' });
        }
        if end == at {
            code.push(chars[at]);
        }
        at = end.max(at + 1);
    }
    code
}

/// The end of the comment or literal that starts here.
fn text_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1);
    match chars[at] {
        '/' if next == Some(&'/') => Some(find(chars, at, |c| c == '\n')),
        '/' if next == Some(&'*') => Some(block_comment_end(chars, at)),
        '"' => Some(string_end(chars, at + 1)),
        'r' if !in_word(chars, at) => raw_string_end(chars, at + 1),
        '\'' if next == Some(&'\\') => Some(find(chars, at + 3, |c| c == '\'') + 1),
        '\'' if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|index| wanted(chars[*index])).unwrap_or(chars.len().saturating_sub(1))
}

/// Whether the character continues a word; `b` and `c` may stand before a raw string.
fn in_word(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| chars[index]);
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match before(1) {
        Some('b' | 'c') => is_word(before(2)),
        other => is_word(other),
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `at` follows the `r`. `None` if this is no raw string after all.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closes = |index: &usize| {
        chars[*index] == '"'
            && chars[index + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    let end = (at + hashes + 1..chars.len()).find(closes);
    Some(end.map_or(chars.len(), |index| index + 1 + hashes))
}

/// The code (see [`without_texts`]) with every item blanked that is compiled for tests only.
pub fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::with_capacity(code.len());
    while let Some(start) =
        ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|a| rest.find(a)).min()
    {
        let end = start + item_end(&rest[start..]);
        kept.push_str(&rest[..start]);
        kept.extend(rest[start..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// The end of an item: the brace that closes its body, or the semicolon of one without a body.
fn item_end(item: &str) -> usize {
    let mut parentheses = 0_i32;
    for (index, c) in item.char_indices() {
        match c {
            '(' | '[' => parentheses += 1,
            ')' | ']' => parentheses -= 1,
            '{' if parentheses == 0 => return index + body_length(&item[index..]),
            ';' if parentheses == 0 => return index + 1,
            _ => {}
        }
    }
    item.len()
}

/// The length of a text that opens with a brace, up to the one that closes it.
fn body_length(body: &str) -> usize {
    let mut depth = 0_i32;
    for (index, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    body.len()
}

/// A function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub lines: usize,
}

/// Every function with a body, from its `fn` to its last brace; inner ones count for the outer too.
pub fn functions(code: &str) -> Vec<Function> {
    let starts = words(code).filter(|(_, word)| *word == "fn").map(|(index, _)| index);
    let function = |start: usize| {
        let item = &code[start..];
        let name =
            words(&item[2..]).next().filter(|(index, _)| item[2..2 + index].trim().is_empty());
        let text = &item[..item_end(item)];
        let name = name?.1.to_owned();
        text.ends_with('}').then(|| Function { name, lines: text.matches('\n').count() + 1 })
    };
    starts.filter_map(function).collect()
}

/// The words of a code with where they begin.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(move |c| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

#[test]
fn texts_are_blanked() {
    let check = |source: &str, expect: &str| {
        let found: Vec<String> = words(&without_texts(source)).map(|(_, w)| w.to_owned()).collect();
        assert_eq!(found.join(" "), expect, "{source}");
    };
    check("a // b\nc", "a c");
    check("a /* b /* c */ d */ e", "a e");
    check(r#"a "b \" c" d"#, "a d");
    check(r##"a r#"b " c"# d"##, "a d");
    check(r#"a br"b\" c"#, "a b c");
    check("a 'b' '\\'' '\\u{1}' c", "a c");
    check("fn a<'b>(c: &'b str) {}", "fn a b c b str");
    check("var\"x\" y", "var y");
}

#[test]
fn tests_are_blanked() {
    let code = "a\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nc\n#[cfg(test)]\nmod d;\ne";
    let rest = without_tests(code);
    assert_eq!(rest.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), ["a", "c", "e"]);
    assert_eq!(rest.lines().count(), code.lines().count());
}

#[test]
fn functions_are_measured() {
    let code = "trait A { fn a(); fn b() -> [u8; 2] {\n 1\n} }\ntype C = fn(u8);\nfn d() {}";
    let expect = [("b", 3), ("d", 1)];
    let expect = expect.map(|(name, lines)| Function { name: name.into(), lines });
    assert_eq!(functions(code), expect);
}
