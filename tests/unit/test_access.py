"""Who may do what to which znode, the files that say who is who, and how they are read again."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from example_config import EXAMPLE, example
from kazoo.security import ACL, OPEN_ACL_UNSAFE, make_digest_acl_credential

from failover import host_secrets
from failover.access import IDS_FILE, KEYS_DIRECTORY, Access, May, Role, identifier, key_file
from failover.access_lists import AccessLists, made_first, names
from failover.cli.break_glass_checks import may_write_the_record
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.output import UserError
from failover.cli.stand_in import with_the_controllers_key
from failover.config import ConfigError, parse
from failover.coordination.keys import KeyRing, ring_of
from failover.policy import Policy
from failover.render import render
from failover.znode import GroupPaths, ScopePaths


def policy_of(acl: str, keys: Path | None = None) -> Policy:
    policy = parse(example(acl=acl))
    return policy.with_keys_in(str(keys)) if keys is not None else policy


POLICY = policy_of("require")
LISTS = AccessLists(POLICY)
PATHS = GroupPaths(POLICY.group)
JAKARTA, MAKASSAR = (
    ScopePaths(POLICY.patroni_namespace, POLICY.clusters[0].scope(site.name))
    for site in POLICY.data_sites
)


def may(path: str, who: str, *, ephemeral: bool = False) -> May:
    found = LISTS.of(path, ephemeral=ephemeral)
    assert found is not None
    return next((entry.may for entry in found if entry.who == who), May(0))


def writers(path: str, **how: bool) -> set[str]:
    """Who may do more than read, besides the admin."""
    found = LISTS.of(path, **{"ephemeral": False, **how})
    assert found is not None
    return {entry.who for entry in found if entry.may & ~May.READ} - {Role.ADMIN}


# --------------------------------------------------------------------------- the position


@pytest.mark.parametrize(
    ("said", "position"),
    [("off", Access.OFF), ("false", Access.OFF), ("use", Access.USE), ("true", Access.REQUIRE)],
)
def test_the_position_as_it_is_written(said: str, position: Access) -> None:
    assert policy_of(said).access.position is position


def test_it_is_required_where_nothing_is_said_and_a_slip_is_named() -> None:
    assert parse(EXAMPLE).access.position is Access.REQUIRE
    with pytest.raises(ConfigError, match="did you mean require"):
        policy_of("requires")


# --------------------------------------------------------------------------- the lists


def test_only_controllers_write_the_state() -> None:
    assert writers(PATHS.state) == {Role.CONTROLLER}


@pytest.mark.parametrize("path", [PATHS.session(7), PATHS.writer(POLICY.clusters[0].name)])
def test_only_guards_write_what_is_theirs(path: str) -> None:
    assert writers(path, ephemeral=True) == {Role.GUARD}


def test_history_is_added_to_and_never_changed() -> None:
    assert writers(f"{PATHS.history}/e-0000000001") == set()
    assert may(PATHS.history, Role.CONTROLLER) == May.READ | May.CREATE
    assert writers(PATHS.history) == {Role.CONTROLLER}


def test_patroni_has_its_own_scope_and_no_other() -> None:
    jakarta, makassar = (each for each in names(POLICY) if each.startswith("patroni."))
    assert may(f"{JAKARTA.members}/jkt-db1", jakarta, ephemeral=True) & May.WRITE
    assert may(JAKARTA.root, makassar) == May(0)
    assert may(PATHS.state, jakarta) == May(0)
    assert may(JAKARTA.leader, jakarta, ephemeral=True) & May.DELETE
    assert may(JAKARTA.leader, jakarta) == May.READ  # the fence
    assert may(JAKARTA.leader_child, jakarta) == May.READ


def test_an_operator_does_not_write_what_an_approver_asks_for() -> None:
    assert writers(PATHS.approvers_request) == {Role.APPROVER, Role.CONTROLLER}
    assert writers(PATHS.request) == {Role.OPERATOR, Role.APPROVER, Role.CONTROLLER}
    assert writers(PATHS.requests) == set()  # nobody replaces the one by the other


def test_a_viewer_reads_everything_and_writes_nothing() -> None:
    every = (*made_first(POLICY), PATHS.state, f"{PATHS.history}/e-1", JAKARTA.config)
    assert {may(path, Role.VIEWER) for path in every} == {May.READ}


def test_nobody_but_the_admin_changes_a_list_and_what_is_not_ours_has_none() -> None:
    for path in (*made_first(POLICY), PATHS.state, "/", MAKASSAR.leader):
        found = LISTS.of(path, ephemeral=False)
        assert found is not None
        assert {entry.who for entry in found if entry.may & May.ADMIN} == {Role.ADMIN}
    assert LISTS.of("/somebody/else", ephemeral=False) is None


def test_every_place_that_the_program_names_has_a_list() -> None:
    host = POLICY.clusters[0].hosts[0]
    salvaged = PATHS.salvaged(1, host.cluster, host.name)  # type: ignore[arg-type]
    for path in (
        *PATHS.all_parents,
        PATHS.history_head,
        PATHS.residency,
        PATHS.notified("hook"),
        PATHS.observer(POLICY.sites[0].name),
        PATHS.last_writer(host.cluster),
        PATHS.stopped(host.cluster),
        salvaged,
        PATHS.request,
        f"{PATHS.leadership}/leader",
    ):
        assert LISTS.of(path, ephemeral=False) is not None, path


def test_the_identifier_is_the_one_that_zookeeper_makes() -> None:
    assert identifier("guard:secret") == make_digest_acl_credential("guard", "secret")


# --------------------------------------------------------------------------- the files


@pytest.fixture
def made(tmp_path: Path) -> Path:
    host_secrets.generate(tmp_path / "passwords")
    host_secrets.generate_keys(POLICY, tmp_path / "passwords")
    host_secrets.lay_out(POLICY, tmp_path / "passwords", tmp_path)
    return tmp_path


def test_each_host_has_the_keys_of_its_own_services_and_no_others(made: Path) -> None:
    secrets = "etc/failover/secrets"

    def keys(place: str) -> dict[str, str]:
        return {p.name: p.read_text() for p in (made / place).glob("zookeeper*")}

    database = keys(f"jakarta/jkt-db1/{secrets}")
    assert set(database) == {"zookeeper-guard.key", "zookeeper-patroni.key", IDS_FILE}
    assert set(keys(f"surabaya/sby-ctl1/{secrets}")) == {"zookeeper-controller.key", IDS_FILE}
    other = keys(f"makassar/mks-db1/{secrets}")
    assert database["zookeeper-guard.key"] == other["zookeeper-guard.key"]
    assert database["zookeeper-patroni.key"] != other["zookeeper-patroni.key"]
    assert set(keys("people/approver")) == {"zookeeper-approver.key", IDS_FILE}
    modes = {stat.S_IMODE(p.stat().st_mode) for p in made.rglob("zookeeper*")}
    assert modes == {0o600}
    ids = (made / "passwords" / IDS_FILE).read_text()
    secret = database["zookeeper-guard.key"].strip().partition(":")[2]
    assert secret not in ids


def test_no_keys_are_made_where_none_is_shown(tmp_path: Path) -> None:
    assert host_secrets.generate_keys(policy_of("off"), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_the_glass_is_broken_with_the_admins_key_alone(made: Path, tmp_path: Path) -> None:
    may_write_the_record(policy_of("off", tmp_path))
    may_write_the_record(policy_of("require", made / "people/admin"))
    controller = made / "jakarta/jkt-ctl1/etc/failover/secrets"
    for directory in (tmp_path, made / "people/operator", controller):
        with pytest.raises(UserError, match="the admin's key") as caught:
            may_write_the_record(policy_of("require", directory))
        assert caught.value.exit_code == ExitCode.FORBIDDEN


def test_who_stands_in_for_a_controller_shows_the_hosts_own_key(made: Path) -> None:
    """As the guide has it an administrator's $FAILOVER_KEYS has a person's alone."""
    person = policy_of("require", made / "people/approver")
    assert with_the_controllers_key(person).access.directory == KEYS_DIRECTORY
    host = policy_of("require", made / "jakarta/jkt-ctl1/etc/failover/secrets")
    assert with_the_controllers_key(host) is host


def test_a_key_is_replaced_in_two_steps(made: Path, tmp_path: Path) -> None:
    config = tmp_path / "failover.yaml"
    config.write_text(example(acl="require"))

    def rotate(*options: str) -> int:
        arguments = ["secrets", "rotate-key", "guard", "--dir", str(made), "--config", str(config)]
        return CliRunner().invoke(cli, [*arguments, *options]).exit_code

    on_host = made / "jakarta/jkt-db1/etc/failover/secrets"
    (old,) = (on_host / "zookeeper-guard.key").read_text().split()
    assert rotate("--finish") == 2
    assert rotate() == 0
    new, also = (on_host / "zookeeper-guard.key").read_text().split()
    assert also == old
    assert new != old
    ids = (on_host / IDS_FILE).read_text().split()
    assert {identifier(new), identifier(old)} <= set(ids)
    assert rotate() == 2, "one at a time"
    assert rotate("--finish") == 0
    assert (on_host / "zookeeper-guard.key").read_text().split() == [new]
    assert identifier(old) not in (on_host / IDS_FILE).read_text()


# --------------------------------------------------------------------------- what a process shows


class Client:
    def __init__(self) -> None:
        self.auth_data: set[tuple[str, str]] = set()
        self.default_acl: Any = None

    def add_auth_async(self, scheme: str, credential: str) -> None:
        self.auth_data.add((scheme, credential))


def test_a_service_shows_its_own_key_and_what_it_makes_is_closed(made: Path) -> None:
    policy = policy_of("require", made / "jakarta/jkt-db1/etc/failover/secrets")
    keys, client = KeyRing(policy, Role.GUARD), Client()
    keys.show(client)
    assert {credential.partition(":")[0] for _, credential in client.auth_data} == {"guard"}
    acl = keys.acl(PATHS.session(1), ephemeral=True)
    assert acl is not None
    own = identifier(keys.credentials[0])
    assert ACL(int(May.READ | May.WRITE), acl[0].id._replace(id=own)) in acl
    assert all(each.id.scheme == "digest" for each in acl)
    with pytest.raises(KeyError, match="/nobody"):
        keys.acl("/nobody")


def test_patronis_client_closes_what_it_makes(made: Path) -> None:
    policy = policy_of("require", made / "jakarta/jkt-db1/etc/failover/secrets")
    keys, client = KeyRing(policy, Role.PATRONI, makes_at=JAKARTA.root), Client()
    keys.show(client)
    assert client.default_acl == keys.acl(JAKARTA.root)


def test_a_position_that_closes_nothing_makes_open_znodes(made: Path) -> None:
    keys = KeyRing(policy_of("use", made / "people/viewer"), None)
    assert len(keys.credentials) == 1
    assert keys.acl(PATHS.state) is None
    assert ring_of(policy_of("off"), None) is None
    assert OPEN_ACL_UNSAFE  # what None stands for in kazoo


def test_a_new_key_is_shown_in_the_open_session(made: Path) -> None:
    policy = policy_of("require", made / "people/operator")
    keys, client = KeyRing(policy, None), Client()
    keys.show(client)
    assert not keys.refresh()
    host_secrets.rotate_key(policy, made / "passwords", "operator")
    host_secrets.lay_out(policy, made / "passwords", made)
    keys.show_new(client)
    assert {c for _, c in client.auth_data} == set(keys.credentials)
    assert len(keys.credentials) == 2
    written = keys.acl(PATHS.state)
    assert written is not None
    assert sum(each.id.id.startswith("operator:") for each in written) == 2


def test_files_that_are_no_good_leave_in_force_what_was_read(made: Path) -> None:
    policy = policy_of("require", made / "people/operator")
    keys = KeyRing(policy, None)
    before = keys.credentials
    (made / "people/operator" / key_file("operator")).write_text("halfakey")
    assert not keys.refresh()
    assert keys.credentials == before
    assert "halfakey" not in keys.problem
    assert "zookeeper-operator.key" in keys.problem


def test_without_a_key_it_is_said_which_file(tmp_path: Path) -> None:
    keys = KeyRing(policy_of("require", tmp_path), Role.CONTROLLER)
    assert keys.credentials == ()
    assert "zookeeper-controller.key" in keys.problem
    with pytest.raises(KeyError, match=IDS_FILE):
        keys.acl(PATHS.state)


# --------------------------------------------------------------------------- what is rendered


def test_patroni_is_run_with_its_key_only_where_one_is_shown() -> None:
    def unit(policy: Policy) -> str:
        found = {str(path): text for path, text in render(policy).items()}
        return "\n".join(
            found[f"jakarta/jkt-db1/{path}"]
            for path in ("etc/systemd/system/patroni.service", "usr/local/bin/patronictl")
        )

    assert "--host jkt-db1" in unit(POLICY)
    assert "guard patronictl" in unit(POLICY)
    assert "guard patronictl" not in unit(policy_of("off"))
    assert "guard patroni /etc/patroni/patroni.yml" in unit(policy_of("off"))
