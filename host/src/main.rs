//! The `atomic-store` program.

fn main() {}
