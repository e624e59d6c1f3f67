"""failover: moves PostgreSQL between two data centres without ever having two writable ones."""

__version__ = "0.1.0"
