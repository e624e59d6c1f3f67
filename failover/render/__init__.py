"""From the policy to the files that every host really runs.

Invariant: the same policy always gives the same bytes; nothing here reads a clock, a host or a
secret. Must not decide anything: every number comes from the policy or from ``lease_timing``.
"""

from failover.render.files import Tree, adopt_sql, render
from failover.render.tree import Difference, compare, write

__all__ = ["Difference", "Tree", "adopt_sql", "compare", "render", "write"]
