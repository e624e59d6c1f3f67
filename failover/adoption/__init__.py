"""A running Patroni pair that this project did not make: what it is and what it lacks."""
