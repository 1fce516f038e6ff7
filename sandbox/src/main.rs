//! The command `hearth-sandbox`.
fn main() {}
