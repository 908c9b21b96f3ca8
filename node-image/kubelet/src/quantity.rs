//! Reading resource quantities (`100m`, `1.5Gi`, `2e3`) as whole numbers, rounded up as upstream's
//! accessors do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kd_api::quantity::{Format, Quantity as Exact};

/// A list of resources as the API writes it.
pub type Resources = BTreeMap<String, Quantity>;

/// The value in thousandths.
pub fn milli(quantity: &Quantity) -> i64 {
    exact(quantity).map_or(0, |exact| exact.milli_value())
}

/// The value in ones.
pub fn whole(quantity: &Quantity) -> i64 {
    exact(quantity).map_or(0, |exact| exact.value())
}

/// CPU of a list in thousandths of a core, if named.
pub fn cpu_milli(list: Option<&Resources>) -> Option<i64> {
    list.and_then(|l| l.get("cpu")).map(milli)
}

/// Memory of a list in bytes, if named.
pub fn memory_bytes(list: Option<&Resources>) -> Option<i64> {
    list.and_then(|l| l.get("memory")).map(whole)
}

/// The amount of any resource in its accounting unit: thousandths for CPU, ones otherwise.
pub fn amount(name: &str, quantity: &Quantity) -> i64 {
    match name {
        "cpu" => milli(quantity),
        _ => whole(quantity),
    }
}

/// The inverse of [`amount`].
pub fn from_amount(name: &str, amount: i64) -> Quantity {
    let exact = match name {
        "cpu" => Exact::from_milli(amount, Format::DecimalSi),
        "memory" | "ephemeral-storage" => Exact::new(amount, Format::BinarySi),
        _ => Exact::new(amount, Format::DecimalSi),
    };
    Quantity(exact.to_string())
}

/// What cannot be read counts as nothing: the API server has refused it before.
fn exact(quantity: &Quantity) -> Option<Exact> {
    quantity.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |text: &str, thousandths: i64, ones: i64| {
            let quantity = Quantity(text.to_owned());
            assert_eq!((milli(&quantity), whole(&quantity)), (thousandths, ones), "{text}");
        };
        check("1", 1000, 1);
        check("100m", 100, 1);
        check("1.5", 1500, 2);
        check("0.0001", 1, 1);
        check("1Ki", 1_024_000, 1024);
        check("1.5Gi", 1_610_612_736_000, 1_610_612_736);
        check("2e3", 2_000_000, 2000);
        check("nonsense", 0, 0);
        check("", 0, 0);
    }

    #[test]
    fn written_back() {
        let check = |name, amount, text: &str| assert_eq!(from_amount(name, amount).0, text);
        check("cpu", 2000, "2");
        check("cpu", 1500, "1500m");
        check("memory", 1 << 30, "1Gi");
        check("memory", 1025, "1025");
        check("pods", 110, "110");
    }
}
