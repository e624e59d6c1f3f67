"""The Indonesia-only allowlist. Pure."""
