"""The only package that talks to PostgreSQL and to Patroni REST interfaces."""
