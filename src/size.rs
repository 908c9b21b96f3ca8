//! Sizes as docker and Kubernetes write them: `512m`, `2g`, `1.5Gi`; a letter alone counts in 1024s.

/// The least that Docker gives to a container.
const BYTES_MIN: f64 = 6.0 * 1024.0 * 1024.0;
const BYTES_MAX: f64 = 9e15;

/// Reads a size in bytes.
pub fn parse(text: &str) -> Result<i64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: f64 = match &lower[digits.len()..] {
        "" | "b" => 1.0,
        "k" | "kb" | "ki" | "kib" => 1024.0,
        "m" | "mb" | "mi" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tb" | "ti" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        unit => return Err(format!("{unit:?} is no unit")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
    match number * factor {
        bytes if bytes < BYTES_MIN => Err("it is at least 6m".into()),
        bytes if bytes <= BYTES_MAX => Ok(bytes as i64),
        _ => Err(format!("{text:?} is too much")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check =
            |text: &str, expect: Option<i64>| assert_eq!(parse(text).ok(), expect, "{text}");
        check("512m", Some(512 << 20));
        check("2g", Some(2 << 30));
        check("1.5Gi", Some(3 << 29));
        check("10485760", Some(10 << 20));
        check("1m", None);
        check("many", None);
        check("2x", None);
        check("-2g", None);
        check("1e30g", None);
    }
}
