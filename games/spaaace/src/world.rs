//! The world: a square without edges, a grid that makes its arithmetic exact, 144 headings.
//!
//! Positions and velocities are multiples of 1/4096 pixel below 4096, which is what a float32 holds without
//! rounding. So sums are exact: a world that is shifted as a whole behaves the same, and a client that follows
//! `docs/rooms/spaaace.md` in any language predicts the very same numbers. Where a product leaves the grid
//! (thrust, the speed limit), the rounding is part of the rules.

use everplay::room::Place;
use std::sync::LazyLock;

/// Width and height in pixels; what leaves on one side comes in on the other.
pub const SIZE: f32 = 3000.0;
/// Units of the grid per pixel: with 12 bits for whole pixels they fill the 24 bits of a float32.
pub const GRID: f64 = 4096.0;
/// Headings of a full turn: one step of turning is 2.5 degrees.
pub const HEADINGS: u8 = 144;

/// A coordinate back inside the world. Exact on the grid, for whatever is less than a world away.
pub fn wrap(at: f32) -> f32 {
    if at < 0.0 {
        at + SIZE
    } else if at >= SIZE {
        at - SIZE
    } else {
        at
    }
}

/// The short way from one coordinate to another, -1500 to 1500; negative is left or up.
pub fn offset(from: f32, to: f32) -> f32 {
    let straight = to - from;
    if straight < -SIZE / 2.0 {
        straight + SIZE
    } else if straight > SIZE / 2.0 {
        straight - SIZE
    } else {
        straight
    }
}

/// The square of the short way between two points, in pixels.
pub fn distance_squared(from: (f32, f32), to: (f32, f32)) -> f64 {
    let (x, y) = (f64::from(offset(from.0, to.0)), f64::from(offset(from.1, to.1)));
    x * x + y * y
}

/// A point of the world that something passes through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot(pub f32, pub f32);

impl Place for Spot {
    /// The short way round. Off the grid: it is compared, never added to.
    fn between(&self, later: &Self, part: f32) -> Self {
        let axis = |from: f32, to: f32| wrap(from + offset(from, to) * part);
        Spot(axis(self.0, later.0), axis(self.1, later.1))
    }
}

/// The unit vector of a heading: 0 is right, and they count clockwise on the screen, where y grows downwards.
pub fn nose(heading: u8) -> (f64, f64) {
    static NOSES: LazyLock<[(f64, f64); HEADINGS as usize]> = LazyLock::new(|| {
        std::array::from_fn(|heading| {
            let angle = heading as f64 * std::f64::consts::TAU / f64::from(HEADINGS);
            (angle.cos(), angle.sin())
        })
    });
    NOSES[usize::from(heading % HEADINGS)]
}

/// A velocity along a heading, to the nearest point of the grid.
pub fn along(heading: u8, speed: f64) -> (f32, f32) {
    let (x, y) = nose(heading);
    let near = |part: f64| ((part * speed * GRID).round() / GRID) as f32;
    (near(x), near(y))
}

/// The velocity with at most this speed, cut towards zero on the grid.
pub fn limit(velocity: (f32, f32), speed: f64) -> (f32, f32) {
    let (x, y) = (f64::from(velocity.0), f64::from(velocity.1));
    let square = x * x + y * y;
    if square <= speed * speed {
        return velocity;
    }
    let scale = speed / square.sqrt();
    let cut = |part: f64| ((part * scale * GRID).trunc() / GRID) as f32;
    (cut(x), cut(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any coordinate of the grid.
    fn coordinate() -> impl Strategy<Value = f32> {
        (0..3000 * 4096_u32).prop_map(|units| units as f32 / 4096.0)
    }

    #[test]
    fn headings_are_clockwise_from_the_right() {
        assert_eq!(along(0, 10.0), (10.0, 0.0));
        assert_eq!(along(36, 10.0), (0.0, 10.0), "down");
        assert_eq!(along(72, 10.0), (-10.0, 0.0));
        assert_eq!(along(108, 10.0), (0.0, -10.0));
        assert_eq!(along(36, 0.05), (0.0, 205.0 / 4096.0), "the thrust of a step, rounded");
    }

    #[test]
    fn between_two_spots_is_the_short_way() {
        assert_eq!(Spot(2990.0, 10.0).between(&Spot(10.0, 20.0), 0.25), Spot(2995.0, 12.5));
        assert_eq!(Spot(10.0, 5.0).between(&Spot(2990.0, 2995.0), 0.75), Spot(2995.0, 2997.5));
    }

    proptest! {
        #[test]
        fn wrapped_is_inside_and_the_same_place(at in coordinate(), by in -3000 * 4096..3000 * 4096_i32) {
            let by = by as f32 / 4096.0;
            // Coordinates are shifted by what moves in a step; a whole world away is the most that is exact.
            prop_assume!((-SIZE..2.0 * SIZE).contains(&(at + by)) && (at + by).abs() < 4096.0);
            let wrapped = wrap(at + by);
            prop_assert!((0.0..SIZE).contains(&wrapped));
            prop_assert_eq!((f64::from(wrapped) - f64::from(at) - f64::from(by)).rem_euclid(3000.0), 0.0);
        }

        #[test]
        fn the_short_way_is_short_and_the_same_from_both_ends(a in coordinate(), b in coordinate()) {
            prop_assert!(offset(a, b).abs() <= SIZE / 2.0);
            prop_assert_eq!(offset(a, b), -offset(b, a));
            prop_assert_eq!((f64::from(a) + f64::from(offset(a, b))).rem_euclid(3000.0), f64::from(b));
        }

        #[test]
        fn the_limit_keeps_the_direction(x in -20_000..20_000_i32, y in -20_000..20_000_i32) {
            let velocity = (x as f32 / 4096.0, y as f32 / 4096.0);
            let (vx, vy) = limit(velocity, 3.0);
            prop_assert!(vx.hypot(vy) <= 3.0);
            prop_assert!((f64::from(vx) * f64::from(y) - f64::from(vy) * f64::from(x)).abs() < 10.0);
            prop_assert!(vx * velocity.0 >= 0.0 && vy * velocity.1 >= 0.0);
        }
    }
}
