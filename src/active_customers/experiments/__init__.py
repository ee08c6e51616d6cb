"""Experiments: which strategy answers whom, what came of it, and choices that learn from that."""
