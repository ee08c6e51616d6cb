"""Trained models behind one small protocol."""
