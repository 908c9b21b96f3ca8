//! Lists of a Job's indexes as its status holds them: `1,3-5,7`.

/// How many indexes there are in the list. The error says what is wrong with its form.
pub(super) fn count(list: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    for interval in list.split(',').filter(|_| !list.is_empty()) {
        let (low, high) = parse(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= low) {
            return Err(format!("non-increasing order, previous: {last}, current: {low}"));
        }
        total += high - low + 1;
        last = Some(high);
    }
    Ok(total)
}

/// The first index that is in both lists, as far as they can be read.
pub(super) fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let read = |list: &str| -> Vec<(i64, i64)> {
        list.split(',').filter_map(|interval| parse(interval, completions).ok()).collect()
    };
    let (a, b) = (read(a), read(b));
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x.0 <= y.1 && y.0 <= x.1 {
            return Some(x.0.max(y.0));
        }
        if x.0 <= y.0 { i += 1 } else { j += 1 }
    }
    None
}

fn parse(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = interval.split('-').collect();
    let index = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {text:?}")),
        Ok(index) if index >= completions => Err(format!("too large index: {text:?}")),
        Ok(index) => Ok(index),
    };
    match parts.as_slice() {
        [one] => index(one).map(|index| (index, index)),
        [low, high] => {
            let (low, high) = (index(low)?, index(high)?);
            match low < high {
                true => Ok((low, high)),
                false => Err(format!("non-increasing order, previous: {low}, current: {high}")),
            }
        }
        _ => Err(format!(
            "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |list: &str, want: Result<i64, &str>| {
            assert_eq!(
                count(list, 10).as_ref().map_err(String::as_str),
                want.as_ref().map_err(|e| *e),
                "{list}"
            );
        };
        check("", Ok(0));
        check("1,3-5,7", Ok(5));
        check("3,1", Err("non-increasing order, previous: 3, current: 1"));
        check("10", Err("too large index: \"10\""));
        check("a", Err("cannot convert string to integer for index: \"a\""));
        assert_eq!(overlap("0-2,5", "3-4,5", 10), Some(5));
        assert_eq!(overlap("0-2", "3-4", 10), None);
    }
}
