"""A reload of Patroni finds the passwords of its environment's file; Patroni itself is in the
integration test (test_password_rotation.py)."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from failover.coordination.patroni import knows_both, rereading


class Config:
    """Patroni's, as far as it matters: it takes what it knows out of the environment."""

    def __init__(self) -> None:
        self.__environment_configuration = self._build_environment_configuration()

    def _build_environment_configuration(self) -> dict[str, str]:
        return {name: os.environ.pop(name) for name in list(os.environ) if "PATRONI_" in name}

    def reload_local_configuration(self) -> dict[str, str]:
        return self.__environment_configuration


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if "PATRONI_" in name]:
        monkeypatch.delenv(name)
    fresh = type("Config", (Config,), {})
    return SimpleNamespace(Config=fresh, patch_config=lambda into, more: into.update(more))


def test_passwords_are_new_and_all_else_is_as_at_the_start(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRONI_RESTAPI_PASSWORD", "old")
    monkeypatch.setenv("PATRONI_NAME", "jkt-db1")
    file = tmp_path / "patroni.env"
    file.write_text("PATRONI_RESTAPI_PASSWORD=n=w\nPATRONI_POSTGRESQL_BIN_DIR=/x\nPATH=/x\n")
    rereading(settings, file)
    config = settings.Config()
    before = config._Config__environment_configuration
    assert config.reload_local_configuration() == {
        "PATRONI_RESTAPI_PASSWORD": "n=w",
        "PATRONI_NAME": "jkt-db1",
    }
    assert before["PATRONI_RESTAPI_PASSWORD"] == "old", "what is in use is not changed in place"
    assert os.environ["PATH"] != "/x"


def test_without_a_file_nothing_changes(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRONI_RESTAPI_PASSWORD", "old")
    rereading(settings, tmp_path / "none")
    assert settings.Config().reload_local_configuration() == {"PATRONI_RESTAPI_PASSWORD": "old"}


def test_the_password_file_keeps_the_replication_role_before() -> None:
    """The present one first: a guard takes that line before a local promotion."""

    class Handler:
        @staticmethod
        def _pgpass_content(record: dict[str, str]) -> str | None:
            return f"{record['user']}:{record['password']}\n" if "password" in record else None

    knows_both(Handler)
    content = Handler._pgpass_content
    assert content({"user": "replicator", "password": "a"}) == "replicator:a\n"
    assert content({"user": "rewinder", "password": "r"}) == "rewinder:r\n"
    assert content({"user": "replicator_2", "password": "b"}) == "replicator_2:b\nreplicator:a\n"
    assert content({"user": "replicator_2"}) is None


def test_another_version_of_patroni_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRONI_RESTAPI_PASSWORD", "old")  # and back again afterwards

    class Handler:
        def _pgpass_content(self, record: dict[str, Any]) -> str:
            return str(record)

    knows_both(Handler)
    assert Handler()._pgpass_content({}) == "{}"
    file = tmp_path / "patroni.env"
    file.write_text("PATRONI_RESTAPI_PASSWORD=new\n")
    other = type("Config", (), {"reload_local_configuration": lambda self: "reloaded"})
    rereading(SimpleNamespace(Config=other), file)
    assert other().reload_local_configuration() == "reloaded"
