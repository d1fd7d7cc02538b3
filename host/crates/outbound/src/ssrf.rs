//! Public addresses alone: what keeps requests of flows from the network behind the server (server-side request forgery, SSRF).

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Resolve, Resolving};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What finds the addresses of a name.
pub(crate) type LookUp = fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>>;

pub(crate) fn look_up_in_the_system(host: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
    Box::pin(async move {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
pub(crate) struct NotPublic(pub(crate) String);

/// Resolves names and leaves out what is not public.
pub(crate) struct Resolver {
    pub(crate) private: Arc<BTreeSet<String>>,
    pub(crate) look_up: LookUp,
}

impl Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let allowed = self.private.iter().any(|known| *known == host || known.starts_with(&format!("{host}:")));
        let found = (self.look_up)(host.clone());
        Box::pin(async move {
            let public = found.await?.into_iter().filter(|address| allowed || is_public(*address));
            let addresses: Vec<SocketAddr> = public.map(|address| SocketAddr::new(address, 0)).collect();
            if addresses.is_empty() {
                return Err(Box::new(NotPublic(host)) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public network, by the registries of special addresses (RFC 6890 and its successors).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, ..] = segments;
    // Addresses that carry one of version 4 are as public as that one is.
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [.., high, low] = segments;
    let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
    if (first, second) == (0x64, 0xff9b) {
        return segments[2..6] == [0; 4] && is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    if first == 0x2002 {
        let [[a, b], [c, d]] = [second.to_be_bytes(), segments[2].to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Global unicast, without documentation, Teredo and the benchmarking and identifier blocks.
    (0x2000..0x4000).contains(&first)
        && !(first == 0x2001 && second < 0x200)
        && (first, second) != (0x2001, 0xdb8)
        && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[test]
    fn addresses_of_other_networks_are_not_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
