//! Networks that do not fit together, and wrong answers to exercises, are refused by the compiler, in words that a learner can read.

#[test]
fn mismatched_networks_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
