"""What a guard reads of backups, what `failover check` makes of it, and what failover.yaml says."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from checks_broken_hosts import backed_up
from checks_world import PROMISED, world
from cli_world import CONFIG

from failover.checks.backups import backups
from failover.checks.found import EndpointFound, Found
from failover.checks.host_report import REPOSITORY_HERE, BackupOnHost
from failover.checks.result import Verdict
from failover.config import ConfigError, load
from failover.guard.backup_status import FILE_MAX_BYTES, backup_status
from failover.policy import BackupPromise, Endpoint, Purpose
from failover.render.files import render

PROMISE = BackupPromise()
SECRET = "never-to-be-shown"
COMMAND = "pgbackrest --stanza=main archive-push %p"


def info(*backups: dict[str, object], stanzas: int = 1) -> str:
    return json.dumps([{"name": "main", "status": {"code": 0}, "backup": backups}] * stanzas)


def backup(label: str, stop: object, error: object = False) -> dict[str, object]:
    return {"label": label, "timestamp": {"start": 1, "stop": stop}, "error": error, "type": "full"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host whose timer has just written."""
    put(tmp_path, PROMISE.status_file, info(backup("old", 100), backup("new", 200)))
    put(tmp_path, PROMISE.config_file, f"[global]\nrepo1-host=backup.example.id\nkey={SECRET}\n")
    return tmp_path


def put(root: Path, file: str, text: str) -> None:
    path = root / file.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_newest_and_where_it_is(root: Path) -> None:
    found = backup_status(PROMISE, root)
    assert found == BackupOnHost("", "new", 200.0, ("backup.example.id",))
    assert backup_status(None, root) is None


@pytest.mark.parametrize("error", [False, None], ids=["looked at", "not looked at"])
def test_one_with_a_spoilt_page_is_none(root: Path, error: object) -> None:
    put(root, PROMISE.status_file, info(backup("good", 100, error), backup("bad", 200, True)))
    found = backup_status(PROMISE, root)
    assert found is not None
    assert (found.label, found.ended_unix_s) == ("good", 100.0)


def test_no_backup_yet(root: Path) -> None:
    put(root, PROMISE.status_file, info())
    assert backup_status(PROMISE, root) == BackupOnHost("", "", None, ("backup.example.id",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not the answer of `pgbackrest info --output=json`"),
        ("{}", "not the answer"),
        (info(backup("x", "yesterday")), "not the answer"),
        (info(backup("x", -5)), "not the answer"),
        (info(stanzas=2), "2 stanzas, where one was to be asked"),
        ("[]", "0 stanzas"),
        (" " * (FILE_MAX_BYTES + 1), "longer than"),
    ],
)
def test_what_is_no_answer_is_a_problem_with_the_files_name(
    root: Path, text: str, said: str
) -> None:
    put(root, PROMISE.status_file, text)
    found = backup_status(PROMISE, root)
    assert found is not None
    assert found.ended_unix_s is None
    assert found.problem.startswith(PROMISE.status_file)
    assert said in found.problem


@pytest.mark.parametrize("file", [PROMISE.status_file, PROMISE.config_file])
def test_a_file_that_is_not_there(root: Path, file: str) -> None:
    (root / file.lstrip("/")).unlink()
    found = backup_status(PROMISE, root)
    assert found is not None
    assert file in found.problem
    assert "No such file" in found.problem


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ("repo1-path=/x", (REPOSITORY_HERE,)),
        ("repo1-path=/x\nrepo2-host=b.example.id", ("b.example.id", REPOSITORY_HERE)),
        ("repo1-type=s3\nrepo1-s3-endpoint=s3.example.com", ("s3.example.com",)),
        ("repo1-type=azure", ("azure",)),
        ("repo1-type=gcs\nrepo1-path=/x", ("gcs",)),
        ("repo1-type=sftp\nrepo1-sftp-host=s.example.id", ("s.example.id",)),
        (
            "repo1-host=b.example.id\nrepo1-type=s3\nrepo1-s3-endpoint=s3.example.com",
            ("b.example.id", "s3.example.com"),
        ),
        ("repo1-type=s3\nrepo1-host=b.example.id\nrepo1-host-port=1", ("b.example.id", "s3")),
    ],
)
def test_where_repositories_are(root: Path, options: str, places: tuple[str, ...]) -> None:
    put(root, PROMISE.config_file, f"[global]\n{options}\n[main]\npg1-path=/data\n")
    found = backup_status(PROMISE, root)
    assert found is not None
    assert (found.problem, found.places) == ("", places)


def test_a_repository_of_an_included_file_counts(root: Path) -> None:
    put(root, "/etc/pgbackrest/conf.d/more.conf", "[main]\nrepo2-host=away.example.com\n")
    found = backup_status(PROMISE, root)
    assert found is not None
    assert found.places == ("away.example.com", "backup.example.id")


def test_where_it_is_comes_out_also_where_its_age_does_not(root: Path) -> None:
    put(root, PROMISE.status_file, "")
    found = backup_status(PROMISE, root)
    assert found is not None
    assert found.problem
    assert found.places == ("backup.example.id",)


@pytest.mark.parametrize("text", ["", SECRET, f"[global]\nrepo1-cipher-pass={SECRET}\n"])
def test_a_configuration_that_names_none_is_a_problem_and_tells_nothing(
    root: Path, text: str
) -> None:
    put(root, PROMISE.config_file, text)
    found = backup_status(PROMISE, root)
    assert found is not None
    assert found.problem.startswith(PROMISE.config_file)
    assert SECRET not in found.problem


def declared(*outside: str) -> Found:
    """Each site's repository is an endpoint of failover.yaml."""
    found, places, seen = world(), [], []
    for short, address in (("jkt", "10.77.1.50"), ("mks", "10.77.2.50")):
        host = f"backup.{short}.example.id"
        found = backed_up(f"{short}-db1", f"{short}-db2", at=host)(found)
        places.append(Endpoint(f"backup-{short}", host, 8432, Purpose.BACKUP))
        seen.append(EndpointFound(f"backup-{short}", (address,), ()))
    if outside:
        seen[0] = replace(seen[0], addresses=outside, outside=outside)
    return with_endpoints(found, *places, seen=seen)


def with_endpoints(found: Found, *places: Endpoint, seen: list[EndpointFound]) -> Found:
    policy = replace(PROMISED, residency=replace(PROMISED.residency, endpoints=places))
    return replace(found, view=replace(found.view, policy=policy), endpoints=tuple(seen))


def test_a_declared_repository_is_in_order_and_has_its_host_and_site() -> None:
    said = backups(declared())
    assert said.verdict is Verdict.OK
    assert "in jakarta: the newest good backup ended 5.0 h ago, of 26 h" in said.sentence
    assert "(at backup.jkt.example.id in jakarta)" in said.sentence
    assert "(at backup.mks.example.id in makassar)" in said.sentence


def test_a_declared_name_that_leads_outside_is_a_failure() -> None:
    said = backups(declared("203.0.113.9"))
    assert said.verdict is Verdict.FAILED
    assert "backup.jkt.example.id stands in 203.0.113.9, outside" in said.sentence


@pytest.mark.parametrize(
    "host", ["backup.mks.example.id", "backup.jkt.example.id"], ids=["in makassar", "in jakarta"]
)
def test_one_repository_for_both_sites_is_lost_with_its_own(host: str) -> None:
    said = backups(backed_up(at=host)(declared()))
    assert said.verdict is Verdict.WARNING
    without = "makassar" if ".jkt." in host else "jakarta"
    assert said.sentence.startswith(f"marketplace: no repository in {without}, only at {host} in ")


def test_a_name_that_stands_for_nothing_has_no_place() -> None:
    found = declared()
    lost = [replace(each, addresses=()) for each in found.endpoints]
    said = backups(replace(found, endpoints=tuple(lost)))
    assert said.verdict is Verdict.WARNING
    assert "backup.jkt.example.id in no declared network" in said.sentence


def test_abroad_is_a_failure_also_where_the_age_is_not_known() -> None:
    said = backups(backed_up("mks-db1", at="s3.example.com", problem="/x: nothing")(world()))
    assert said.verdict is Verdict.FAILED
    assert "mks-db1: a repository is at s3.example.com, which is declared nowhere" in said.sentence


def test_the_sentence_has_age_limit_host_and_site() -> None:
    jakarta, makassar = backups(world()).sentence.split("; ")
    assert jakarta == (
        "marketplace in jakarta: the newest good backup ended 5.0 h ago, of 26 h "
        "(at jkt-db1 in jakarta, jkt-db2 in jakarta)"
    )
    assert makassar.endswith("(at mks-db1 in makassar, mks-db2 in makassar)")


def test_one_host_of_a_site_knows_enough_for_its_site() -> None:
    """The primary's timer wrote, the replica's is behind."""
    assert backups(backed_up("jkt-db2", ago_h=30)(world())).verdict is Verdict.OK


def written(tmp_path: Path, backup: object, settings: dict[str, str]) -> Path:
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    document["clusters"]["marketplace"]["backup"] = backup
    document["residency"] = {"settings": settings}
    file = tmp_path / "failover.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def test_a_promise_turns_archiving_on(tmp_path: Path) -> None:
    policy = load(written(tmp_path, {"max_age": "8d"}, {"archive_command": COMMAND}))
    assert policy.clusters[0].backup == BackupPromise(max_age_s=8 * 86400.0)
    files = [text for path, text in render(policy).items() if path.name == "patroni.yml"]
    assert files
    for text in files:
        parameters = yaml.safe_load(text)["bootstrap"]["dcs"]["postgresql"]["parameters"]
        assert (parameters["archive_mode"], parameters["archive_command"]) == ("on", COMMAND)


def test_archiving_has_to_lead_somewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"residency\.settings has no archive_command"):
        load(written(tmp_path, {}, {}))


def test_an_address_is_declared_as_one() -> None:
    hosts = ("10.77.1.50", "10.77.2.50")
    found = backed_up("jkt-db1", "jkt-db2", at=hosts[0])(world())
    found = backed_up("mks-db1", "mks-db2", at=hosts[1])(found)
    places = [Endpoint(f"to-{host}", ip_address(host), 8432, Purpose.BACKUP) for host in hosts]
    seen = [EndpointFound(f"to-{host}", (host,), ()) for host in hosts]
    assert backups(with_endpoints(found, *places, seen=seen)).verdict is Verdict.OK
