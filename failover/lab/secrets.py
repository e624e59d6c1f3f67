"""The lab's passwords: made once per lab, kept under .lab/ with no rights for anyone else.

A site's are made by the same code (`failover secrets init`).
"""

from __future__ import annotations

from failover.host_secrets import NAMES, PATRONI_ENVIRONMENT, generate, generate_keys

__all__ = ["NAMES", "PATRONI_ENVIRONMENT", "generate", "generate_keys"]
