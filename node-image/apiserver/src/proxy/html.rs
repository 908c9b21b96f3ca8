//! The links of a web page: found in the attributes that hold them, nothing else is touched.

/// Attributes that hold a link, by the element that has them.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["formaction", "src", "usemap"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is no markup.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// The page with every link as `rewrite` wants it.
pub(super) fn with_links(page: &str, rewrite: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = match rest.strip_prefix("<!--") {
            Some(comment) => comment.find("-->").map(|end| end + "<!--".len() + "-->".len()),
            None => tag_end(rest),
        };
        let Some(end) = end else { break };
        let (tag, after) = rest.split_at(end);
        rest = after;
        let name = tag_name(tag);
        push_tag(&mut out, tag, &name, &rewrite);
        if RAW.contains(&name.as_str()) && !tag.ends_with("/>") {
            let content = closing_tag(rest, &name).unwrap_or(rest.len());
            out.push_str(&rest[..content]);
            rest = &rest[content..];
        }
    }
    out.push_str(rest);
    out
}

/// The end of a tag, whose attributes may hold a `>` in quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (index, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(index + 1),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The lower-case name of a start tag; "" for anything else.
fn tag_name(tag: &str) -> String {
    let inner = tag.trim_start_matches('<');
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
    inner[..end].to_ascii_lowercase()
}

/// Where the closing tag of an element begins.
fn closing_tag(text: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find("</") {
        let start = from + found;
        let after = text.get(start + 2..start + 2 + name.len());
        if after.is_some_and(|after| after.eq_ignore_ascii_case(name)) {
            return Some(start);
        }
        from = start + 2;
    }
    None
}

fn push_tag(out: &mut String, tag: &str, name: &str, rewrite: &impl Fn(&str) -> String) {
    let links = LINKS.iter().find(|(element, _)| *element == name).map(|(_, links)| *links);
    let Some(links) = links else { return out.push_str(tag) };
    let mut at = 1 + name.len();
    out.push_str(&tag[..at]);
    while let Some(attribute) = Attribute::after(tag, at) {
        let value = &tag[attribute.value.clone()];
        let is_link = links.contains(&attribute.name.as_str());
        out.push_str(&tag[at..attribute.value.start]);
        match is_link {
            true => out.push_str(&rewrite(value)),
            false => out.push_str(value),
        }
        at = attribute.value.end;
    }
    out.push_str(&tag[at..]);
}

/// An attribute with a value: where that is in its tag, without quotes.
struct Attribute {
    name: String,
    value: std::ops::Range<usize>,
}

impl Attribute {
    fn after(tag: &str, from: usize) -> Option<Attribute> {
        let equals = from + tag.get(from..)?.find('=')?;
        let before = tag[from..equals].trim_end();
        let name = before.rsplit([' ', '\t', '\n', '\r', '\u{c}', '"', '\'', '/']).next()?;
        let text = &tag[equals + 1..];
        let start = equals + 1 + (text.len() - text.trim_start().len());
        let value = match tag[start..].chars().next()? {
            quote @ ('"' | '\'') => {
                let length = tag[start + 1..].find(quote)?;
                start + 1..start + 1 + length
            }
            _ => {
                let ends = |c: char| c.is_ascii_whitespace() || c == '>';
                start..start + tag[start..].find(ends)?
            }
        };
        Some(Attribute { name: name.to_ascii_lowercase(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        assert!(LINKS.is_sorted_by_key(|(name, _)| *name));
        let check = |page: &str, expect: &str| {
            assert_eq!(with_links(page, |link| format!("[{link}]")), expect);
        };
        check("<a href=\"/x\">/y</a>", "<a href=\"[/x]\">/y</a>");
        check("<A class=b HREF='/x'>", "<A class=b HREF='[/x]'>");
        check("<img src=/x.png alt=\"a > b\">", "<img src=[/x.png] alt=\"a > b\">");
        check("<p href=\"/x\">", "<p href=\"/x\">");
        check("<!-- <a href=\"/x\"> -->", "<!-- <a href=\"/x\"> -->");
        check(
            "<script src=\"/x.js\">a = '<a href=\"/y\">';</script><a href=/z>",
            "<script src=\"[/x.js]\">a = '<a href=\"/y\">';</script><a href=[/z]>",
        );
        check("<form method=post action = \"/x\" >", "<form method=post action = \"[/x]\" >");
        check(
            "<img src=\"/a\" data-x longdesc=\"/b\"/>",
            "<img src=\"[/a]\" data-x longdesc=\"[/b]\"/>",
        );
        check("a < b, <a href=\"/x", "a < b, <a href=\"/x");
        check(
            "<img src=\"\u{e9}\"><title>\u{e9}<a href=/x></title>",
            "<img src=\"[\u{e9}]\"><title>\u{e9}<a href=/x></title>",
        );
    }
}
