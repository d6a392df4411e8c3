use serde::{Deserialize, Serialize};

/// How much of the service there is, from everything down to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceLevel {
    /// Everything.
    #[default]
    Full,
    /// Everything, but lists may be old.
    Limited,
    /// Reading only: what is done now may not be kept.
    Emergency,
    /// Nothing: the service is being worked on.
    Maintenance,
}

impl ServiceLevel {
    /// All of them, the best first.
    pub const ALL: [ServiceLevel; 4] =
        [ServiceLevel::Full, ServiceLevel::Limited, ServiceLevel::Emergency, ServiceLevel::Maintenance];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            ServiceLevel::Full => "full",
            ServiceLevel::Limited => "limited",
            ServiceLevel::Emergency => "emergency",
            ServiceLevel::Maintenance => "maintenance",
        }
    }

    /// Its number in states: 0 is everything, 3 is nothing.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The level of this number; None: of a later release.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for level in ServiceLevel::ALL {
            assert_eq!(ServiceLevel::of_number(level.number()), Some(level));
            assert_eq!(serde_json::to_value(level).unwrap(), level.name());
        }
        assert_eq!(ServiceLevel::of_number(4), None);
        assert!(ServiceLevel::Full < ServiceLevel::Maintenance, "worse is more");
    }
}
