"""What runs while a request waits: schemas, ingest, engine, hot routes."""
