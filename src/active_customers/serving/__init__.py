"""The parts of a running service: committer, updater, process set-up."""
