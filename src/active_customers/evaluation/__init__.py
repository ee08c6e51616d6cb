"""Offline evaluation and the shop simulator."""
