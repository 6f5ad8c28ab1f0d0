//! Medians and quartiles.

/// The value below which a share `q` of the sorted samples lies; between two samples, in proportion.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q * last as f64;
    let below = place.floor() as usize;
    let above = place.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

/// The median, and the spread: the distance of the quartiles as a share of the median.
#[must_use]
pub fn median_and_spread(samples: &[f64]) -> (f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = quantile(&sorted, 0.5);
    let quartiles = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
    let spread = if median == 0.0 { 0.0 } else { quartiles / median.abs() };
    (median, spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_samples() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 3.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 3.0], 1.0), 3.0);
    }

    #[test]
    fn the_spread_is_relative_to_the_median() {
        assert_eq!(median_and_spread(&[10.0, 12.0, 8.0]), (10.0, 0.2));
        assert_eq!(median_and_spread(&[0.0, 0.0]), (0.0, 0.0));
    }
}
