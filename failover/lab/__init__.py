"""The two data sites and the witness on one machine, in containers."""
