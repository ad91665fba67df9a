//! What a log spends on a submission.
fn main() {}
