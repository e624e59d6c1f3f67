"""What an observer sees, and what it means: probes, view, verdict."""
