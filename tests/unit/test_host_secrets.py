"""`failover secrets init`: every host's passwords, made once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from failover.cli.secrets import command
from failover.host_secrets import CONTROLLER_FILES, DATABASE_FILES, NAMES

CONFIG = Path(__file__).parents[2] / "tests" / "open.yaml"
SECRETS = "etc/failover/secrets"


def init(directory: Path) -> Result:
    ended = CliRunner().invoke(command, ["init", "--dir", str(directory), "--config", str(CONFIG)])
    assert ended.exit_code == 0, ended.output
    return ended


def texts(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_text() for path in files}


def test_each_host_has_what_its_units_read_and_nobody_else_may(tmp_path: Path) -> None:
    there = tmp_path / "secrets"
    said = init(there).output
    database, controller = there / "jakarta/jkt-db1", there / "surabaya/sby-ctl1"
    assert {path.name for path in (database / SECRETS).iterdir()} == set(DATABASE_FILES)
    assert {path.name for path in (controller / SECRETS).iterdir()} == set(CONTROLLER_FILES)
    assert not (there / "surabaya/sby-zk1").exists()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in there.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE((there / "passwords").stat().st_mode) == 0o700
    assert all(word.strip() not in said for word in texts(there / "passwords").values())


def test_they_are_the_same_at_every_host_and_in_patronis_environment(tmp_path: Path) -> None:
    init(tmp_path)
    hosts = [f"{site}/{host}" for site, host in (("jakarta", "jkt-db1"), ("makassar", "mks-db2"))]
    first, second = (texts(tmp_path / host / SECRETS) for host in hosts)
    assert first == second
    assert len(set(first.values())) == len(first)
    password = first["replication.password"]
    assert f"PATRONI_REPLICATION_PASSWORD={password}" in first["patroni.env"]
    assert (
        first["observer.password"]
        == (texts(tmp_path / "surabaya/sby-ctl1" / SECRETS)["observer.password"])
    )


def test_run_again_it_replaces_no_password_and_makes_what_is_missing(tmp_path: Path) -> None:
    assert f"{len(NAMES)} passwords made, 0 kept; files of 7 hosts" in init(tmp_path).output
    before = texts(tmp_path)
    (tmp_path / "jakarta/jkt-db1" / SECRETS / "patroni.env").unlink()
    assert f"0 passwords made, {len(NAMES)} kept" in init(tmp_path).output
    assert texts(tmp_path) == before


def rotate(directory: Path, *arguments: str) -> Result:
    own = ["rotate-password", *arguments, "--dir", str(directory), "--config", str(CONFIG)]
    return CliRunner().invoke(command, own)


def test_another_password_goes_to_every_host_and_patronis_environment(tmp_path: Path) -> None:
    init(tmp_path)
    before = texts(tmp_path)
    ended = rotate(tmp_path, "patroni-rest")
    assert ended.exit_code == 0, ended.output
    after = texts(tmp_path)
    changed = {path.split("/")[-1] for path in after if after[path] != before[path]}
    assert changed == {"patroni-rest.password", "patroni.env"}
    password = after["passwords/patroni-rest.password"]
    assert after[f"makassar/mks-db2/{SECRETS}/patroni-rest.password"] == password
    assert f"PATRONI_RESTAPI_PASSWORD={password}" in after[f"jakarta/jkt-db1/{SECRETS}/patroni.env"]
    assert password.strip() not in ended.output


@pytest.mark.parametrize(
    ("name", "variable", "role"),
    [("replication", "REPLICATION", "replicator"), ("rewinder", "REWIND", "rewinder")],
)
def test_patroni_turns_to_the_other_role_when_it_is_finished(
    name: str, variable: str, role: str, tmp_path: Path
) -> None:
    init(tmp_path)
    place = tmp_path / "makassar/mks-db2" / SECRETS
    for now, then in ((role, f"{role}_2"), (f"{role}_2", role)):
        old = (place / f"{name}.password").read_text()
        assert f"PATRONI_{variable}_USERNAME={now}\n" in (place / "patroni.env").read_text()
        assert rotate(tmp_path, name).exit_code == 0
        new, after = (place / f"{name}.password").read_text().splitlines(keepends=True)
        assert after == old != new
        assert (place / f"{name}.role").read_text() == f"{then}\n"
        environment = (place / "patroni.env").read_text()
        assert f"PATRONI_{variable}_USERNAME={now}\n" in environment
        assert f"PATRONI_{variable}_PASSWORD={old}" in environment
        init(tmp_path)  # in the middle: nothing moves
        assert (place / "patroni.env").read_text() == environment
        assert rotate(tmp_path, name, "--finish").exit_code == 0
        environment = (place / "patroni.env").read_text()
        assert f"PATRONI_{variable}_USERNAME={then}\n" in environment
        assert f"PATRONI_{variable}_PASSWORD={new}" in environment
        assert old not in environment


def test_a_directory_of_an_earlier_version_begins_with_the_first_role(tmp_path: Path) -> None:
    init(tmp_path)
    (tmp_path / "passwords/replication.role").unlink()
    assert rotate(tmp_path, "replication").exit_code == 0
    assert (tmp_path / "passwords/replication.role").read_text() == "replicator_2\n"


def test_the_observer_has_both_until_it_is_finished(tmp_path: Path) -> None:
    init(tmp_path)
    file = tmp_path / "surabaya/sby-ctl1" / SECRETS / "observer.password"
    old = file.read_text()
    assert "one password only" in rotate(tmp_path, "observer", "--finish").output
    assert rotate(tmp_path, "observer").exit_code == 0
    new, after = file.read_text().splitlines(keepends=True)
    assert after == old != new
    assert "a new password already" in rotate(tmp_path, "observer").output
    assert rotate(tmp_path, "observer", "--finish").exit_code == 0
    assert file.read_text() == new


def test_an_unknown_password_is_refused_with_all_names(tmp_path: Path) -> None:
    init(tmp_path)
    ended = rotate(tmp_path, "guard")
    assert ended.exit_code != 0
    assert all(name in ended.output for name in NAMES)


def test_a_turn_that_was_cut_off_is_brought_to_its_end(tmp_path: Path) -> None:
    """Between role and password: done again it would turn back, with the new word for the wrong
    role."""
    assert rotate(tmp_path, "replication").exit_code == 0
    whole = texts(tmp_path / "passwords")
    for name in ("replication.role", "replication.password"):
        begun = whole["replication.role"] + whole["replication.password"]
        (tmp_path / "passwords/replication.turn").write_text(begun)
        (tmp_path / "passwords" / name).write_text(
            "replicator\n" if name.endswith("role") else whole[name].split()[1] + "\n"
        )
        init(tmp_path)
        assert texts(tmp_path / "passwords") == whole
