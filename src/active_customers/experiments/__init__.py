"""Tests of one strategy against another: what came of them, and what that proves."""
