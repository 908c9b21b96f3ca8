//! From usage to a number of replicas. Pods that are missing or not ready are taken for what moves
//! the number least.

/// By which a sum of decimal fractions may be off.
const HAIR: f64 = 1e-9;

/// What is known of the pods that a metric is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Usage of ready pods, and what counts as 100 percent of each.
    pub ready: Vec<(f64, f64)>,
    /// That base, of pods without a measurement.
    pub missing: Vec<f64>,
    /// That base, of pods that are not ready.
    pub unready: Vec<f64>,
}

/// How far from the target nothing is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerance {
    pub up: f64,
    pub down: f64,
}

impl Tolerance {
    fn holds(self, ratio: f64) -> bool {
        ratio >= 1.0 - self.down - HAIR && ratio <= 1.0 + self.up + HAIR
    }
}

fn ratio(pods: &[(f64, f64)], target: f64) -> f64 {
    let (usage, base) = pods.iter().fold((0.0, 0.0), |sum, pod| (sum.0 + pod.0, sum.1 + pod.1));
    if base == 0.0 || target == 0.0 { 1.0 } else { usage / base / target }
}

/// The number of replicas for a target share (1.0 for all) of each pod's base.
pub(super) fn from_pods(
    measured: &Measured,
    target: f64,
    current: i64,
    tolerance: Tolerance,
) -> i64 {
    let first = ratio(&measured.ready, target);
    let with_unready = !measured.unready.is_empty() && first > 1.0;
    if !with_unready && measured.missing.is_empty() {
        return match tolerance.holds(first) {
            true => current,
            false => ceil(first * measured.ready.len() as f64),
        };
    }
    let mut all = measured.ready.clone();
    if first < 1.0 {
        // Missing ones may be using all that they are meant to.
        all.extend(measured.missing.iter().map(|base| (base * target.max(1.0), *base)));
    } else if first > 1.0 {
        all.extend(measured.missing.iter().map(|base| (0.0, *base)));
    }
    if with_unready {
        all.extend(measured.unready.iter().map(|base| (0.0, *base)));
    }
    let second = ratio(&all, target);
    let turned = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
    if tolerance.holds(second) || turned {
        return current;
    }
    let wanted = ceil(second * all.len() as f64);
    let backwards = (second < 1.0 && wanted > current) || (second > 1.0 && wanted < current);
    if backwards { current } else { wanted }
}

/// The number of replicas for a value that is not any pod's: `ready` pods produced it.
pub(super) fn from_value(
    usage: f64,
    target: f64,
    ready: usize,
    current: i64,
    tolerance: Tolerance,
) -> i64 {
    let ratio = if target == 0.0 { 1.0 } else { usage / target };
    if current == 0 {
        return ceil(usage / target.max(f64::MIN_POSITIVE)).max(0);
    }
    if tolerance.holds(ratio) { current } else { ceil(ratio * ready as f64) }
}

/// The number of replicas of which each carries an equal share of a value.
pub(super) fn from_average(usage: f64, target: f64, current: i64, tolerance: Tolerance) -> i64 {
    let ratio = usage / (target * current as f64);
    if current > 0 && tolerance.holds(ratio) { current } else { ceil(usage / target) }
}

fn ceil(value: f64) -> i64 {
    (value - HAIR).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { up: 0.1, down: 0.1 };

    #[test]
    fn pods() {
        let check = |ready: &[f64], missing: usize, unready: usize, expect: i64| {
            let measured = Measured {
                ready: ready.iter().map(|usage| (*usage, 1.0)).collect(),
                missing: vec![1.0; missing],
                unready: vec![1.0; unready],
            };
            let current = (ready.len() + missing + unready) as i64;
            let got = from_pods(&measured, 0.5, current, TOLERANCE);
            assert_eq!(got, expect, "{ready:?} {missing} {unready}");
        };
        check(&[0.5, 0.5], 0, 0, 2);
        check(&[0.54, 0.55], 0, 0, 2);
        check(&[1.0, 1.0], 0, 0, 4);
        check(&[0.1, 0.1, 0.1], 0, 0, 1);
        check(&[1.0, 1.0], 0, 2, 4);
        check(&[1.0, 1.0], 2, 0, 4);
        check(&[2.0, 2.0], 0, 1, 8);
        check(&[0.1, 0.1], 1, 0, 3);
    }

    #[test]
    fn values() {
        assert_eq!(from_value(30.0, 10.0, 2, 2, TOLERANCE), 6);
        assert_eq!(from_value(10.5, 10.0, 2, 2, TOLERANCE), 2);
        assert_eq!(from_average(30.0, 10.0, 2, TOLERANCE), 3);
        assert_eq!(from_average(21.0, 10.0, 2, TOLERANCE), 2);
    }
}
