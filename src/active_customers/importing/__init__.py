"""Bulk import of events and products from files."""
