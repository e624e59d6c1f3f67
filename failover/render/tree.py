"""A rendered tree on disk: write it, or compare it with what is there.

Only the directories of the sites in the tree are looked at or changed; whatever else lies next
to them (failover.yaml itself, notes) is not ours, and neither are secrets and certificates that
lie where a host has them: they are not read, not shown and not removed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from failover.render.files import Tree

NOT_OURS = (PurePosixPath("etc/failover/secrets"), PurePosixPath("etc/failover/tls"))
_NOT_OURS_SUFFIXES = (".pem", ".key", ".password", ".env")  # wherever tls.directory is


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not as rendered. None: the file is not on that side."""

    path: PurePosixPath
    on_disk: str | None
    rendered: str | None

    def unified(self) -> str:
        """The difference as `diff -u` shows it."""
        return "".join(
            difflib.unified_diff(
                (self.on_disk or "").splitlines(keepends=True),
                (self.rendered or "").splitlines(keepends=True),
                fromfile=f"{self.path} (on disk)" if self.on_disk is not None else "/dev/null",
                tofile=f"{self.path} (rendered)" if self.rendered is not None else "/dev/null",
            )
        )


def compare(tree: Tree, root: Path) -> tuple[Difference, ...]:
    """What a ``write`` to the same place would change, by path."""
    on_disk = {path: (root / path).read_text(encoding="utf-8") for path in _existing(tree, root)}
    return tuple(
        Difference(path, on_disk.get(path), tree.get(path))
        for path in sorted({*tree, *on_disk})
        if on_disk.get(path) != tree.get(path)
    )


def write(tree: Tree, root: Path) -> tuple[Difference, ...]:
    """Make ``root`` as rendered; returns what changed. Files no longer rendered are removed."""
    differences = compare(tree, root)
    for difference in differences:
        target = root / difference.path
        if difference.rendered is None:
            target.unlink()
            _remove_empty_parents(target, root)
            continue
        _make_parents(target, root)
        target.write_text(difference.rendered, encoding="utf-8")
        target.chmod(0o755 if difference.rendered.startswith("#!") else 0o644)
    return differences


def _existing(tree: Tree, root: Path) -> Iterator[PurePosixPath]:
    for site in sorted({path.parts[0] for path in tree}):
        for path in sorted((root / site).rglob("*")):
            found = PurePosixPath(path.relative_to(root))
            if path.is_file() and not _not_ours(found):
                yield found


def _not_ours(path: PurePosixPath) -> bool:
    """``path``: site, host, and the path on the host."""
    on_host = PurePosixPath(*path.parts[2:])
    kept = any(on_host.is_relative_to(directory) for directory in NOT_OURS)
    return kept or path.suffix in _NOT_OURS_SUFFIXES


def _make_parents(target: Path, root: Path) -> None:
    """Their modes are those of the hosts' directories: whatever the umask here."""
    for parent in reversed(target.relative_to(root).parents[:-1]):
        made = root / parent
        if not made.is_dir():
            made.mkdir(parents=True)
            made.chmod(0o755)


def _remove_empty_parents(target: Path, root: Path) -> None:
    for parent in target.parents:
        if parent == root or any(parent.iterdir()):
            return
        parent.rmdir()
