"""Measurements of what the project promises; `make bench` runs them. See docs/benchmarks.md."""
