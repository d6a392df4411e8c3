use super::*;

#[test]
fn truncation_stops_at_the_older_snapshot() {
    assert_eq!(truncation(Seq(9), &[]), Seq(1));
    assert_eq!(truncation(Seq(9), &[Seq(8)]), Seq(1));
    assert_eq!(truncation(Seq(9), &[Seq(4), Seq(8)]), Seq(5));
    assert_eq!(truncation(Seq(3), &[Seq(4), Seq(8)]), Seq(3));
}
