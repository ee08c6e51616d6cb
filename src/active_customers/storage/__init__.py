"""The ports to durable storage and their adapters."""
