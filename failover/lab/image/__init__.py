"""The image of the lab's hosts: built once, named after a hash of everything that goes into it.

Needs no registry: where the distribution's image cannot be pulled, the base is bootstrapped from
the mirror that this machine's apt uses. Python packages are fetched here, on the host, because
the build may not trust the package index. Must not know what a host of the lab does.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from failover.lab import wheels
from failover.lab.errors import LabError

HERE = Path(__file__).parent
CACHE = Path(__file__).parents[3] / ".build" / "lab"
SUITE = "trixie"
NAME = "failover-lab"
BASE_NAME = "failover-lab-base"
ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

Say = Callable[[str], None]


def tag() -> str:
    """The image's full name: it changes whenever an input of the build does."""
    digest = hashlib.sha256()
    for path in _inputs():
        mode = "x" if os.access(path, os.X_OK) else "-"
        digest.update(f"{path.relative_to(HERE)} {mode} ".encode() + path.read_bytes() + b"\0")
    return f"{NAME}:{digest.hexdigest()[:12]}"


def present() -> bool:
    """Whether the image need not be built."""
    try:
        engine().images.get(tag())
    except ImageNotFound:
        return False
    return True


def ensure(say: Say = lambda _: None) -> str:
    """The image's name, built first where it is not there. LabError says what is missing."""
    name = tag()
    if present():
        return name
    say(f"building the image {name} (once; a few minutes)")
    client = engine()
    found = base(client, say)
    packages = _wheels(say)
    say("installing PostgreSQL, ZooKeeper, HAProxy and Patroni into it")
    _build(client, name, found, packages)
    _forget_others(client, name)
    return name


def engine() -> docker.DockerClient:
    """The container engine of this machine. LabError when there is none that answers."""
    try:
        return docker.from_env(timeout=120)
    except DockerException as error:
        raise LabError(
            f"no container engine answers: {error}",
            todo="`make setup` installs and starts one (as root); otherwise install docker.io "
            "and make sure that this user may use it",
        ) from None


def _inputs() -> list[Path]:
    skipped = {"__pycache__", "__init__.py"}
    return sorted(p for p in HERE.rglob("*") if p.is_file() and not skipped & set(p.parts))


# --------------------------------------------------------------------------- base


def base(client: docker.DockerClient, say: Say = lambda _: None) -> str:
    """A Debian to start from: already here, from the registry, or bootstrapped."""
    name = f"{BASE_NAME}:{SUITE}"
    try:
        client.images.get(name)
    except ImageNotFound:
        pass
    else:
        return name
    try:
        say("fetching the base image")
        client.images.pull("debian", tag=f"{SUITE}-slim").tag(BASE_NAME, SUITE)
    except (DockerException, OSError):
        say("no registry can be reached: bootstrapping the base from apt's mirror")
        _bootstrap(client)
    return name


def _bootstrap(client: docker.DockerClient) -> None:
    if os.geteuid() != 0:
        raise LabError(
            "no registry can be reached, and bootstrapping the base image needs root",
            todo="run `make setup` as root once, or give this machine access to a registry",
        )
    if shutil.which("debootstrap") is None:
        raise LabError("debootstrap is not installed", todo="apt-get install debootstrap")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        root = Path(scratch) / "root"
        command = ["debootstrap", "--variant=minbase"]
        if ARCHIVE_KEYRING.exists():
            command.append(f"--keyring={ARCHIVE_KEYRING}")
        _run([*command, SUITE, str(root), _mirror()], "bootstrapping the base image")
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        archive = Path(scratch) / "root.tar"
        _run(["tar", "-C", str(root), "--numeric-owner", "-cf", str(archive), "."], "packing it")
        client.api.import_image_from_file(str(archive), repository=BASE_NAME, tag=SUITE)


def _mirror() -> str:
    """The Debian archive that this machine's apt is set up with."""
    wanted = "$(CREATED_BY) $(ORIGIN) $(LABEL) $(REPO_URI)"
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", wanted], capture_output=True, text=True, check=False
    )
    rows = [line.split(" ", 3) for line in found.stdout.splitlines()]
    packages = [row for row in rows if len(row) == 4 and row[0] == "Packages"]
    mirrors = [uri for _, origin, label, uri in packages if (origin, label) == ("Debian", "Debian")]
    mirrors += [uri for *_, uri in packages if uri.rstrip("/").endswith("/debian")]
    if not mirrors:
        raise LabError(
            "no registry can be reached, and apt knows no Debian mirror to bootstrap from",
            todo="`apt-get update` on Debian, or give this machine access to a registry",
        )
    return mirrors[0]


# --------------------------------------------------------------------------- Python packages


def _wheels(say: Say) -> Path:
    """A directory with a wheel of everything in requirements.lock, for the image's Python."""
    lock = HERE / "requirements.lock"
    target = CACHE / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if target.exists():
        return target
    say("fetching Python packages")
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=CACHE))
    wheels.fetch(lock, scratch)
    scratch.rename(target)
    return target


# --------------------------------------------------------------------------- build


def _build(client: docker.DockerClient, name: str, found: str, packages: Path) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path in _inputs():
            archive.add(path, str(path.relative_to(HERE)), filter=_as_root)
        archive.add(packages, "wheels", filter=_as_root)
    context.seek(0)
    proxies = {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy")}
    log: list[str] = []
    try:
        for event in client.api.build(
            fileobj=context,
            custom_context=True,
            tag=name,
            buildargs={"BASE": found, **proxies},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=1800,
        ):
            log.append(event.get("stream", "") or event.get("error", ""))
            if "error" in event:
                raise LabError("the image cannot be built", log=_tail("".join(log)))
    except APIError as error:
        raise LabError(f"the image cannot be built: {error}", log=_tail("".join(log))) from None


def _forget_others(client: docker.DockerClient, name: str) -> None:
    """`latest` is this one; images of earlier inputs are removed where nothing uses them."""
    client.images.get(name).tag(NAME, "latest")
    for image in client.images.list(name=NAME):
        for other in image.tags:
            if other not in (name, f"{NAME}:latest"):
                with contextlib.suppress(APIError):
                    client.images.remove(other)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    return member


def _run(command: list[str], what: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        log = _tail(ended.stdout + ended.stderr)
        raise LabError(f"{what} failed (exit {ended.returncode}: {command[0]})", log=log)


def _tail(text: str, lines: int = 25) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])
