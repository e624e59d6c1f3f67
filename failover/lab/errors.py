"""What can go wrong with the lab and the user can do something about."""

from __future__ import annotations


class LabError(Exception):
    """The message says what happened and where; ``todo`` what to do; ``log`` its last lines."""

    def __init__(self, message: str, *, todo: str = "", log: str = "") -> None:
        super().__init__(message)
        self.todo = todo
        self.log = log

    def __str__(self) -> str:
        lines = [super().__str__()]
        if self.log:
            lines.append("\n".join(f"    {line}" for line in self.log.rstrip().splitlines()))
        return "\n".join(lines)


class LabMistake(LabError):
    """A name or a request that cannot be right; nothing was done."""
