"""JSON documents that many processes read again and again: the same bytes are parsed once.

Nobody may change what ``loaded`` returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def loaded(data: bytes) -> Mapping[str, Any]:
    """The JSON object in these bytes. ValueError where there is none."""
    document: Mapping[str, Any] = json.loads(data)
    return document
