//! Parts of certificates that rcgen cannot write: subjects with several organizations (it keeps one
//! value per attribute), and keys of any algorithm. Such a part is put into what it issued, in DER,
//! which is then signed again.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.4.10
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// Which part of what is signed the subject is: behind version, serial number, algorithm, issuer
/// and validity.
pub(super) const SUBJECT: usize = 5;
/// Behind the subject.
pub(super) const PUBLIC_KEY: usize = 6;

/// The name of a user in groups.
pub(super) fn name(common_name: &str, organizations: &[&str]) -> Vec<u8> {
    let attribute = |kind: &[u8], text: &str| {
        let pair = [element(OBJECT_IDENTIFIER, kind), element(UTF8_STRING, text.as_bytes())];
        element(SET, &element(SEQUENCE, &pair.concat()))
    };
    let mut parts: Vec<Vec<u8>> =
        organizations.iter().map(|text| attribute(ORGANIZATION, text)).collect();
    parts.push(attribute(COMMON_NAME, common_name));
    element(SEQUENCE, &parts.concat())
}

/// A certificate with other parts (by place); `sign` signs as its issuer does. `None` when the DER
/// is none of a certificate.
pub(super) fn replaced<E>(
    certificate: &[u8],
    others: &[(usize, &[u8])],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Option<Vec<u8>>, E> {
    let Some((signed, algorithm)) = signed_part(certificate, others) else { return Ok(None) };
    let mut signature = vec![0];
    signature.extend(sign(&signed)?);
    let parts = [signed, algorithm, element(BIT_STRING, &signature)];
    Ok(Some(element(SEQUENCE, &parts.concat())))
}

/// What is to be signed, and by which algorithm.
fn signed_part(certificate: &[u8], others: &[(usize, &[u8])]) -> Option<(Vec<u8>, Vec<u8>)> {
    let outer = elements(split(certificate)?.content)?;
    let [signed, algorithm, _] = outer.as_slice() else { return None };
    let mut parts = elements(split(signed)?.content)?;
    for (place, other) in others {
        *parts.get_mut(*place)? = other;
    }
    Some((element(SEQUENCE, &parts.concat()), algorithm.to_vec()))
}

struct Split<'a> {
    /// Tag, length and content.
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

/// The first element of some DER.
fn split(der: &[u8]) -> Option<Split<'_>> {
    let (_, after_tag) = der.split_first()?;
    let (&first, after_first) = after_tag.split_first()?;
    let long = if first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    let (digits, after_length) = after_first.split_at_checked(long)?;
    let length = match long {
        0 => usize::from(first),
        1..=4 => digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)),
        _ => return None,
    };
    let (content, rest) = after_length.split_at_checked(length)?;
    let whole = &der[..der.len() - rest.len()];
    Some(Split { whole, content, rest })
}

fn elements(mut der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let next = split(der)?;
        found.push(next.whole);
        der = next.rest;
    }
    Some(found)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    match content.len() {
        short @ 0..0x80 => der.push(short as u8),
        _ => {
            der.push(0x80 | digits.len() as u8);
            der.extend_from_slice(digits);
        }
    }
    der.extend_from_slice(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_any_length() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let der = element(UTF8_STRING, &content);
            let split = split(&der).unwrap();
            assert_eq!((split.content, split.rest), (&content[..], &[][..]), "{length}");
        }
        for cut in [&[][..], &[0x30], &[0x30, 0x82, 0x01], &[0x30, 0x05, 0x01]] {
            assert!(split(cut).is_none(), "{cut:?}");
        }
        assert!(signed_part(b"0\x00", &[]).is_none());
    }

    #[test]
    fn names() {
        let der = name("u", &["a", "b"]);
        let expected = b"\x30\x24\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01a\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01b\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01u";
        assert_eq!(der, expected);
    }
}
