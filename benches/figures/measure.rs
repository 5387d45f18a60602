//! Medians, and how a comparison is told.

/// The middle of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// A figure that was taken from both sides in every round.
#[derive(Default)]
pub(crate) struct Comparison {
    by_hand: Vec<f64>,
    hatchery: Vec<f64>,
}

impl Comparison {
    pub(crate) fn add(&mut self, by_hand: f64, hatchery: f64) {
        self.by_hand.push(by_hand);
        self.hatchery.push(hatchery);
    }

    pub(crate) fn tell(&self, name: &str, goal: &str) {
        let ratios: Vec<f64> = self.hatchery.iter().zip(&self.by_hand).map(|(ours, theirs)| ours / theirs).collect();
        let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let (by_hand, hatchery, ratio) = (median(&self.by_hand), median(&self.hatchery), median(&ratios));
        println!("{name:<44} {by_hand:>12.1} {hatchery:>12.1}  {ratio:.3} {goal} ({})", all.join(" "));
    }
}
