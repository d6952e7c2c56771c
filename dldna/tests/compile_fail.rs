//! Networks that do not fit together are refused by the compiler, in words that a learner can read.

#[test]
fn mismatched_networks_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
