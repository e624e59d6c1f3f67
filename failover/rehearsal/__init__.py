"""A rehearsal as plain values: what was measured, its judgement, and what is said of it. Pure."""
