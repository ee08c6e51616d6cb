"""Jobs that read the history and publish something."""
