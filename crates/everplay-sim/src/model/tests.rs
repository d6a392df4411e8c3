//! The protocol holds within the bounds, and each rule that is claimed is needed.

use super::*;

#[test]
fn the_protocol_holds() {
    for bounds in Bounds::TESTED {
        let outcome = search(Rules::ALL, bounds, Judge::Strict);
        println!("{}: {outcome}", bounds.name);
        assert!(outcome.found.is_none(), "{}", bounds.name);
    }
}

/// Taking one rule away shows why it is there, in as few steps as possible.
#[test]
fn rules_are_needed() {
    for rule in Rule::ALL {
        let found = Bounds::TESTED.into_iter().filter(|bounds| rule.matters(bounds)).find_map(|bounds| {
            let outcome = search(Rules::ALL.without(rule), bounds, Judge::Strict);
            outcome.found.is_some().then_some((bounds, outcome))
        });
        let (bounds, outcome) = found.unwrap_or_else(|| panic!("nobody would miss {rule:?}"));
        println!("without {rule:?} ({}): {outcome}", bounds.name);
    }
}

/// A way that is printed leads where it says: the last step of each is there, and the first one is a grant.
#[test]
fn ways_can_be_walked() {
    let outcome = search(Rules::ALL.without(Rule::SendAfterDurable), Bounds::TESTED[0], Judge::Players);
    let (steps, violation) = outcome.found.expect("the search finds it in a moment");
    assert_eq!(violation, Violation::SeenIsNotInTheJournal);
    assert_eq!(steps.first().map(|step| step.action), Some(Action::Grant(0)));
    assert!(matches!(steps.last().map(|step| step.action), Some(Action::Deliver(_))), "{steps:?}");
}
