//! Percent-encoding (RFC 3986, 2.1).

/// A text without it; `None` where that is no UTF-8. A percent sign that encodes nothing is itself.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..)? } else { after };
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn what_is_no_utf8_is_nothing_and_a_sign_that_encodes_nothing_stays() {
        for wrong in ["%ff", "a%C3", "%C3%28"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
        for (text, expected) in
            [("", ""), ("a%20b", "a b"), ("%E2%82%ac", "€"), ("100%", "100%"), ("%+1%zz", "%+1%zz"), ("%2520", "%20")]
        {
            assert_eq!(decoded(text).as_deref(), Some(expected), "{text}");
        }
    }
}
