//! Where a request comes from: networks, and what trusted proxies say of those whose requests they pass on.

use http::HeaderMap;
use http::header::FORWARDED;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Addresses that have their first bits in common; one of version 4 is the same however it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        first_bits(address.to_canonical(), self.bits) == Some(self.address)
    }
}

/// An address of which only the first bits count; `None` where it has not so many.
fn first_bits(address: IpAddr, bits: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let rest = 32_u32.checked_sub(bits.into())?;
            let mask = u32::MAX.checked_shl(rest).unwrap_or_default();
            Some(Ipv4Addr::from_bits(v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let rest = 128_u32.checked_sub(bits.into())?;
            let mask = u128::MAX.checked_shl(rest).unwrap_or_default();
            Some(Ipv6Addr::from_bits(v6.to_bits() & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads an address, or one with the number of its bits that count.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not an address or a network, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if address != address.to_canonical() {
            return Err(format!("{text:?} is of version 4: write {}", address.to_canonical()));
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse::<u8>().ok().filter(|known| known.to_string() == bits).ok_or_else(wrong)?,
        };
        match first_bits(address, bits) {
            Some(first) if first == address => Ok(Self { address, bits }),
            Some(first) => Err(format!("{text:?} has bits that do not count: write {first}/{bits}")),
            None => Err(format!("{text:?} has at most {most} bits")),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// What counts as one address: of version 6, the network that one customer gets.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub address: IpAddr,
    /// Why it is that of a trusted proxy, though the proxy says something.
    pub doubt: Option<&'static str>,
}

/// Where a request comes from that `peer` has sent. What is said of others counts as far as those are trusted who have said
/// it: from the right, up to the first who is not.
pub fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Origin {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return Origin { address: peer, doubt: None };
    }
    let first = |said: Vec<Option<IpAddr>>| {
        let mut address = peer;
        for next in said.into_iter().rev() {
            if !is_trusted(address) {
                break;
            }
            address = next?;
        }
        Some(address)
    };
    let said = [(FORWARDED.as_str(), hops as fn(&str) -> Option<Vec<Option<IpAddr>>>), ("x-forwarded-for", list)].map(
        |(name, read)| {
            // Each line by itself: a quotation mark that somebody left open on the left hides nothing of the next line.
            let lines: Vec<_> = headers.get_all(name).iter().map(|line| read(line.to_str().unwrap_or("?"))).collect();
            (!lines.is_empty()).then(|| first(lines.into_iter().collect::<Option<Vec<_>>>()?.concat()))
        },
    );
    match said {
        [None, None] => Origin { address: peer, doubt: None },
        [Some(Some(address)), None] | [None, Some(Some(address))] => Origin { address, doubt: None },
        [Some(Some(address)), Some(Some(other))] if address == other => Origin { address, doubt: None },
        [Some(Some(_)), Some(Some(_))] => {
            Origin { address: peer, doubt: Some("`Forwarded` and `X-Forwarded-For` name different addresses") }
        }
        [Some(None), _] => Origin { address: peer, doubt: Some("`Forwarded` cannot be read") },
        [_, Some(None)] => Origin { address: peer, doubt: Some("`X-Forwarded-For` cannot be read") },
    }
}

/// The addresses of a line of `X-Forwarded-For`, from left to right; `None` for what is none.
fn list(line: &str) -> Option<Vec<Option<IpAddr>>> {
    Some(line.split(',').map(|address| node(address.trim())).collect())
}

/// The same of a line of `Forwarded` (RFC 7239): the parameters `for`. `None` when it is not certain what is in quotation marks
/// and what is not: where one hop ends and the next begins.
fn hops(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let (mut hops, mut of_hop, mut left) = (Vec::new(), Vec::new(), line);
    loop {
        let (name, rest) = left.trim_start().split_once('=')?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return None;
        }
        let (value, rest) = parameter(rest)?;
        if name.eq_ignore_ascii_case("for") {
            of_hop.push(node(&value));
        }
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix(';') {
            left = rest;
            continue;
        }
        // Who names two, names none.
        hops.push(if let [one] = of_hop[..] { one } else { None });
        of_hop.clear();
        match rest.strip_prefix(',') {
            Some(rest) => left = rest,
            None => return rest.is_empty().then_some(hops),
        }
    }
}

/// The value that a text begins with, in quotation marks or not, and what comes after it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ';']).unwrap_or(text.len()));
        let value = value.trim_end();
        let is_certain = !value.is_empty() && !value.contains(['"', '\\', '=', ' ', '\t']);
        return is_certain.then(|| (value.to_owned(), rest));
    };
    let (mut value, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

/// An address, with or without a port, as proxies write them; `None` for names such as `unknown`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{Network, Origin, origin};
    use http::HeaderMap;
    use std::net::IpAddr;

    fn from(peer: &str, headers: &[(&'static str, &str)]) -> Origin {
        let trusted: Vec<Network> = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        origin(peer.parse().unwrap(), &map, &trusted)
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "a", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.1/8", "::/129", "::1/64", "10.0.0/8"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert!("::ffff:10.0.0.1".parse::<Network>().unwrap_err().contains("10.0.0.1"));
        let is_in = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::a00:1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            assert!(is_in(network, inside) && !is_in(network, outside), "{network}");
        }
    }

    #[test]
    fn nobody_says_where_he_is_but_trusted_proxies() {
        let forged = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        for (peer, headers, address) in [
            ("203.0.113.9", &forged[..], "203.0.113.9"),
            // What the caller sent himself is on the left of what the proxy has seen.
            ("10.0.0.1", &[("x-forwarded-for", "192.0.2.1, 203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1", &[("x-forwarded-for", "nonsense, 203.0.113.9, 10.2.3.4")], "203.0.113.9"),
            ("10.0.0.1", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.9:4711")], "203.0.113.9"),
            ("10.0.0.1", &[("forwarded", "for=192.0.2.1, for=203.0.113.9;proto=https;by=10.0.0.1")], "203.0.113.9"),
            ("10.0.0.1", &[("forwarded", "proto=https;For=\"[2001:DB9::7]:4711\"")], "2001:db9::7"),
            ("10.0.0.1", &[("forwarded", "for=\"[2001:db9::7]\";host=\"a,b;c=d\"")], "2001:db9::7"),
            ("10.0.0.1", &[("forwarded", "for=_a;x=\"\\\", for=192.0.2.1\", for=203.0.113.9 ; by=b")], "203.0.113.9"),
            ("10.0.0.1", &[("forwarded", "for=192.0.2.1"), ("forwarded", "for=203.0.113.9:4711")], "203.0.113.9"),
            ("::ffff:10.0.0.1", &[("x-forwarded-for", "::ffff:203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &forged, "192.0.2.1"),
        ] {
            assert_eq!(from(peer, headers), Origin { address: address.parse().unwrap(), doubt: None }, "{headers:?}");
        }
    }

    #[test]
    fn what_a_proxy_says_that_is_nonsense_leaves_its_own_address() {
        for headers in [
            &[("x-forwarded-for", "unknown")][..],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "192.0.2.1, 256.1.1.1")],
            &[("x-forwarded-for", "192.0.2.1,,10.0.0.2")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "proto=https")],
            &[("forwarded", "for=192.0.2.1;for=192.0.2.2")],
            &[("forwarded", "for=\"192.0.2.1")],
            &[("forwarded", "192.0.2.1")],
            // What the caller sent himself must not swallow what the proxy has seen.
            &[("forwarded", "for=192.0.2.1;by=\"a, for=203.0.113.9")],
            &[("forwarded", "for=192.0.2.1;by=\", for=203.0.113.9;proto=https")],
            &[("forwarded", "for=192.0.2.1;by=a\", for=203.0.113.9")],
            &[("forwarded", "for=192.0.2.1;x=\"a, for=\"203.0.113.9\"")],
            &[("forwarded", "for=192.0.2.1;x=\"\\, for=\"[2001:db9::66]:443\"")],
            &[("forwarded", "for=192.0.2.1;by=\"a"), ("forwarded", "for=203.0.113.9")],
            &[("forwarded", "for=203.0.113.9;by=\"a,for=192.0.2.1")],
            &[("forwarded", "for=192.0.2.1;by=\"a\" \"")],
            &[("forwarded", "for=192.0.2.1;by=\"a\"b")],
            &[("forwarded", "for = 192.0.2.1")],
            &[("forwarded", "for=192.0.2.1;;by=a")],
            &[("forwarded", "for=192.0.2.1,")],
            &[("forwarded", "for=")],
            &[("forwarded", "")],
            &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.2")],
            &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "what")],
        ] {
            let Origin { address, doubt } = from("10.0.0.1", headers);
            assert_eq!((address.to_string(), doubt.is_some()), ("10.0.0.1".to_owned(), true), "{headers:?}");
        }
    }
}
