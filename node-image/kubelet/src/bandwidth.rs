//! `kubernetes.io/ingress-bandwidth` and `kubernetes.io/egress-bandwidth`: how much a pod may receive and
//! send, in bits per second (<https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/#support-traffic-shaping>).

use std::collections::BTreeMap;

use kd_api::quantity::Quantity;
use kd_network::Bandwidth;

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";
const BITS_MIN: i64 = 1_000;
const BITS_MAX: i64 = 1_000_000_000_000_000;

/// The limits of a pod.
pub(crate) fn bandwidth(annotations: &BTreeMap<String, String>) -> Result<Bandwidth, String> {
    let read = |name: &str| annotations.get(name).map(|text| bits(text)).transpose();
    Ok(Bandwidth { ingress: read(INGRESS)?, egress: read(EGRESS)? })
}

fn bits(text: &str) -> Result<u64, String> {
    let quantity = text.parse::<Quantity>().map_err(|error| error.to_string())?;
    let bits = quantity.value();
    match bits {
        bits if bits < BITS_MIN => Err("resource is unreasonably small (< 1kbit)".into()),
        bits if bits > BITS_MAX => Err("resource is unreasonably large (> 1Pbit)".into()),
        bits => Ok(bits.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_pods() {
        let check = |text: &str, expect: Result<u64, &str>| {
            let annotations = BTreeMap::from([(INGRESS.to_owned(), text.to_owned())]);
            let found = bandwidth(&annotations).map(|limits| limits.ingress.unwrap());
            assert_eq!(found, expect.map_err(str::to_owned), "{text}");
        };
        check("10M", Ok(10_000_000));
        check("1Mi", Ok(1 << 20));
        check("999", Err("resource is unreasonably small (< 1kbit)"));
        check("2P", Err("resource is unreasonably large (> 1Pbit)"));
        assert_eq!(bandwidth(&BTreeMap::new()), Ok(Bandwidth::default()));
        let wrong = BTreeMap::from([(EGRESS.to_owned(), "fast".to_owned())]);
        assert!(bandwidth(&wrong).is_err());
    }
}
