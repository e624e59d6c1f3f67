"""Every assumption of the design, held against what was found. Pure: the edge is ``cli/check``."""
