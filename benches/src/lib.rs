//! Benchmarks of the whole broker. Each is a program of its own, see `figures/main.rs`.
