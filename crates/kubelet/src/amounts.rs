//! Quantities as the node needs them: whole thousandths of cores, whole bytes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

fn read(quantity: &Quantity) -> Option<machinery::quantity::Quantity> {
    machinery::quantity::Quantity::parse(&quantity.0).ok()
}

/// Thousandths, rounded up.
pub(crate) fn millis(quantity: &Quantity) -> i64 {
    read(quantity).map_or(0, |quantity| quantity.milli_value())
}

/// Wholes (bytes, pods, …), rounded up.
pub(crate) fn whole(quantity: &Quantity) -> i64 {
    read(quantity).map_or(0, |quantity| quantity.value())
}

/// Thousandths of the named resource; zero if it is not there.
pub(crate) fn millis_of(amounts: Option<&Amounts>, name: &str) -> i64 {
    amounts.and_then(|amounts| amounts.get(name)).map_or(0, millis)
}

/// Wholes of the named resource; zero if it is not there.
pub(crate) fn whole_of(amounts: Option<&Amounts>, name: &str) -> i64 {
    amounts.and_then(|amounts| amounts.get(name)).map_or(0, whole)
}

/// Whether two quantities are the same amount, however they are written.
pub(crate) fn same(left: &Quantity, right: &Quantity) -> bool {
    left == right || read(left).zip(read(right)).is_some_and(|(left, right)| left == right)
}

/// Thousandths of a core in their canonical form.
pub(crate) fn from_millis(millis: i64) -> Quantity {
    if millis % 1_000 == 0 { Quantity((millis / 1_000).to_string()) } else { Quantity(format!("{millis}m")) }
}

/// Bytes in their canonical binary form.
pub(crate) fn from_bytes(bytes: i64) -> Quantity {
    const SUFFIXES: [(&str, i64); 6] = [
        ("Ei", 1 << 60),
        ("Pi", 1 << 50),
        ("Ti", 1 << 40),
        ("Gi", 1 << 30),
        ("Mi", 1 << 20),
        ("Ki", 1 << 10),
    ];
    for (suffix, size) in SUFFIXES {
        if bytes != 0 && bytes % size == 0 {
            return Quantity(format!("{}{suffix}", bytes / size));
        }
    }
    Quantity(bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_rounded_up() {
        for (text, thousandths, wholes) in [
            ("1", 1_000, 1),
            ("100m", 100, 1),
            ("1.5", 1_500, 2),
            ("64Mi", 67_108_864_000, 67_108_864),
            ("1k", 1_000_000, 1_000),
            ("1e3", 1_000_000, 1_000),
            ("1E2", 100_000, 100),
            ("100u", 1, 1),
            ("1n", 1, 1),
            ("0", 0, 0),
            (".5Gi", 536_870_912_000, 536_870_912),
            ("-1500m", -1_500, -2),
            ("12e-1", 1_200, 2),
        ] {
            let quantity = Quantity(text.to_owned());
            assert_eq!((millis(&quantity), whole(&quantity)), (thousandths, wholes), "{text}");
        }
        assert_eq!(millis(&Quantity("nonsense".to_owned())), 0);
    }

    #[test]
    fn canonical_forms() {
        assert_eq!(from_millis(1_500).0, "1500m");
        assert_eq!(from_millis(2_000).0, "2");
        assert_eq!(from_bytes(64 << 20).0, "64Mi");
        assert_eq!(from_bytes(1_500).0, "1500");
        assert_eq!(from_bytes(0).0, "0");
        assert!(same(&Quantity("1000m".to_owned()), &Quantity("1".to_owned())));
        assert!(!same(&Quantity("1".to_owned()), &Quantity("2".to_owned())));
    }
}
