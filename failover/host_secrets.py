"""The passwords of a group: made once, and laid out as each host needs them.

With access lists in ZooKeeper there is a key for each role too (decision 0019): a host gets those
of its own services, people get theirs from ``people/``.

Invariant: a password is never printed, never stands in failover.yaml or in a rendered file, and one
that is there is replaced by ``rotate_password`` alone. Files are for their owner alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from failover.access import IDS_FILE, PEOPLE, Role, identifier, key_file, patroni_of
from failover.access_lists import names as key_names
from failover.durable import replace_file
from failover.policy import Policy

PLACE = PurePosixPath("etc/failover/secrets")  # on a host

# What Patroni calls it, and the file with it.
PATRONI_ENVIRONMENT = {
    "PATRONI_SUPERUSER_PASSWORD": "superuser",
    "PATRONI_REPLICATION_PASSWORD": "replication",
    "PATRONI_REWIND_PASSWORD": "rewinder",
    "PATRONI_RESTAPI_PASSWORD": "patroni-rest",
}
PATRONI_FILE = "patroni.env"
# They take turns: a role has one password, so a new one would refuse who still has the old one.
TURNS = {"replication": ("replicator", "replicator_2"), "rewinder": ("rewinder", "rewinder_2")}
PATRONI_USERS = {
    "PATRONI_REPLICATION_USERNAME": "replication",
    "PATRONI_REWIND_USERNAME": "rewinder",
}
PEOPLE_IN = "people"
OBSERVER = "observer"
NAMES = (*PATRONI_ENVIRONMENT.values(), OBSERVER, "client")

DATABASE_FILES = (
    *(f"{name}.password" for name in NAMES),
    *(f"{name}.role" for name in TURNS),
    PATRONI_FILE,
)
CONTROLLER_FILES = ("patroni-rest.password", "observer.password")


def generate(directory: Path) -> tuple[str, ...]:
    """Write the files that are not there yet; the passwords among them that were made."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    _go_on(directory)
    missing = [name for name in NAMES if not (directory / f"{name}.password").exists()]
    for name in missing:
        _write(directory / f"{name}.password", secrets.token_urlsafe(24) + "\n")
    for name, (first, _) in TURNS.items():
        if not (directory / f"{name}.role").exists():
            _write(directory / f"{name}.role", first + "\n")
    _write(directory / PATRONI_FILE, "".join(_patroni_lines(directory)))
    return tuple(missing)


def _patroni_lines(directory: Path) -> Iterator[str]:
    """The old role and password as long as there are two: the servers may not know the new ones."""
    for variable, name in PATRONI_ENVIRONMENT.items():
        yield f"{variable}={_passwords(directory, name)[-1]}\n"
    for variable, name in PATRONI_USERS.items():
        role = _newest_role(directory, name)
        old = len(_passwords(directory, name)) > 1
        yield f"{variable}={_other(name, role) if old else role}\n"


def _passwords(directory: Path, name: str) -> list[str]:
    return (directory / f"{name}.password").read_text(encoding="utf-8").split()


def _newest_role(directory: Path, name: str) -> str:
    """Whose the first password of the file is."""
    return (directory / f"{name}.role").read_text(encoding="utf-8").strip()


def _other(name: str, role: str) -> str:
    first, second = TURNS[name]
    return second if role == first else first


def rotate_password(directory: Path, name: str) -> None:
    """Another password.

    The observer's stands before the present one until ``finish_password``: controllers try both. So
    does that of roles which take turns, and it is the other role's: Patroni has the old one until
    then. ValueError where that is so already.
    """
    generate(directory)  # whose turn it is stands there from now on
    before = _passwords(directory, name)
    if len(before) > 1:
        raise ValueError(f"{name} has a new password already, before the old one")
    kept = before if name == OBSERVER or name in TURNS else []
    words = "".join(f"{each}\n" for each in (secrets.token_urlsafe(24), *kept))
    if name in TURNS:
        role = _other(name, _newest_role(directory, name))
        _write(directory / f"{name}.turn", f"{role}\n{words}")
    else:
        _write(directory / f"{name}.password", words)
    generate(directory)


def _go_on(directory: Path) -> None:
    """Role and password change together: what was begun and cut off is brought to its end."""
    for name in TURNS:
        begun = directory / f"{name}.turn"
        if begun.exists():
            role, words = begun.read_text(encoding="utf-8").split("\n", 1)
            _write(directory / f"{name}.role", role + "\n")
            _write(directory / f"{name}.password", words)
            begun.unlink()


def finish_password(directory: Path, name: str) -> None:
    """The new password alone, and Patroni has it. ValueError where there is no old one after it."""
    _go_on(directory)
    newest, *old = _passwords(directory, name)
    if not old:
        raise ValueError(f"{name} has one password only")
    _write(directory / f"{name}.password", f"{newest}\n")
    generate(directory)


def generate_keys(policy: Policy, directory: Path) -> tuple[str, ...]:
    """The keys for ZooKeeper that are not there yet, and the ids of all; the names of those made.
    None are made where nobody shows one."""
    if not policy.access.position.shown:
        return ()
    missing = [each for each in key_names(policy) if not (directory / key_file(each)).exists()]
    for name in missing:
        _write(directory / key_file(name), _new_key(name))
    _write_ids(policy, directory)
    return tuple(missing)


def rotate_key(policy: Policy, directory: Path, name: str) -> None:
    """A new key beside the present one: until ``finish_key`` both are shown, and both are let in.
    ValueError where that is so already."""
    before = (directory / key_file(name)).read_text(encoding="utf-8").split()
    if len(before) > 1:
        _write_ids(policy, directory)  # where this was cut off between the two files
        raise ValueError(f"{name} has a new key already, beside the old one")
    _write(directory / key_file(name), _new_key(name) + "".join(f"{each}\n" for each in before))
    _write_ids(policy, directory)


def finish_key(policy: Policy, directory: Path, name: str) -> None:
    """The new key alone. ValueError where there is no old one beside it."""
    newest, *old = (directory / key_file(name)).read_text(encoding="utf-8").split()
    if not old:
        _write_ids(policy, directory)  # where this was cut off between the two files
        raise ValueError(f"{name} has one key only")
    _write(directory / key_file(name), f"{newest}\n")
    _write_ids(policy, directory)


def _new_key(name: str) -> str:
    return f"{name}:{secrets.token_urlsafe(24)}\n"


def _write_ids(policy: Policy, directory: Path) -> None:
    keys = [
        line
        for name in key_names(policy)
        for line in (directory / key_file(name)).read_text(encoding="utf-8").split()
    ]
    _write(directory / IDS_FILE, "".join(f"{identifier(key)}\n" for key in keys))


def lay_out(policy: Policy, made: Path, directory: Path) -> int:
    """Every host's files below ``directory``/<site>/<host>, from those ``made``; how many hosts."""
    count = 0
    for host, names in _hosts(policy):
        place = directory / host / PLACE
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            _write(place / name, (made / name).read_text(encoding="utf-8"))
        count += 1
    if policy.access.position.shown:
        _lay_out_keys(policy, made, directory)
    return count


def keys_of_hosts(policy: Policy) -> Iterator[tuple[PurePosixPath, dict[str, str]]]:
    """Every host that shows keys, <site>/<host>: the files that it gets, and what they are called
    where they were made."""
    ids = {IDS_FILE: IDS_FILE}
    for site in policy.sites:
        own = {key_file(Role.CONTROLLER): key_file(Role.CONTROLLER)}
        yield PurePosixPath(site.name, site.controller.name), ids | own
    for cluster in policy.clusters:
        for host in cluster.hosts:
            patroni = key_file(patroni_of(cluster.scope(host.site)))
            own = {key_file(Role.GUARD): key_file(Role.GUARD), key_file(Role.PATRONI): patroni}
            yield PurePosixPath(host.site, host.name), ids | own


def _lay_out_keys(policy: Policy, made: Path, directory: Path) -> None:
    places = [(directory / host / PLACE, files) for host, files in keys_of_hosts(policy)]
    for role in PEOPLE:
        files = {IDS_FILE: IDS_FILE, key_file(role): key_file(role)}
        places.append((directory / PEOPLE_IN / role, files))
    for place, files in places:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, source in files.items():
            _write(place / name, (made / source).read_text(encoding="utf-8"))


def _hosts(policy: Policy) -> Iterator[tuple[PurePosixPath, tuple[str, ...]]]:
    for site in policy.sites:
        yield PurePosixPath(site.name, site.controller.name), CONTROLLER_FILES
    for cluster in policy.clusters:
        for host in cluster.hosts:
            yield PurePosixPath(host.site, host.name), DATABASE_FILES


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a password cut short would be believed."""
    replace_file(path, text.encode(), 0o600)
