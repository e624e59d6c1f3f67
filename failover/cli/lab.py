"""``failover lab``: both data sites and the witness in containers on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, output_option, settings, size_option
from failover.cli.output import UserError, console, print_json

if TYPE_CHECKING:
    from failover.lab.faults import Fault, Faults
    from failover.lab.lab import HostStatus, Lab

# The names of stages and faults are repeated here so that `--help` does not load the engine's
# library; a test compares them.
STAGES = (
    "hosts",
    "zookeeper",
    "state",
    "active-site",
    "databases",
    "controllers",
    "proxies",
    "clients",
)


class LabGroup(click.Group):
    """Says what is wrong with the lab without a traceback; loads the workload when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "workload"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "workload":
            from failover.lab.workload.cli import command as workload

            return workload
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        from failover.config import ConfigError
        from failover.lab.errors import LabError, LabMistake

        try:
            return super().invoke(ctx)
        except LabMistake as error:
            raise UserError(str(error), todo=error.todo) from None
        except LabError as error:
            raise UserError(str(error), todo=error.todo, code=ExitCode.FINDINGS) from None
        except ConfigError as error:
            raise UserError(str(error), todo="correct the file; `failover config check`") from None


@click.group("lab", cls=LabGroup)
def command() -> None:
    """Both data sites and the witness in containers on this machine."""


# --------------------------------------------------------------------------- up, down


@command.command()
@config_option
@click.option(
    "--until", type=click.Choice(STAGES), default=STAGES[-1], show_default=True, help="How far."
)
@click.option("--go-on", is_flag=True, help="Go on with the lab that is there, from its stage.")
@click.option("--stall-shim", is_flag=True, help="Allow the fault stall-fsync.")
@click.option(
    "--own-disks", is_flag=True, help="Small disks for database hosts: allow the fault fill-disk."
)
@click.option(
    "--monitoring", is_flag=True, help="With Prometheus and Alertmanager on a host at the witness."
)
def up(until: str, go_on: bool, stall_shim: bool, own_disks: bool, monitoring: bool) -> None:
    """Start the lab from nothing; one that is there is removed first.

    The files of its hosts are those next to failover.yaml (deploy/<site>/<host>/). `--go-on
    --monitoring` adds monitoring to the lab that is there.
    """
    from failover.lab.stages import Stage

    out = console()
    lab = _attached() if go_on else _lab()
    if go_on:
        lab.go_on(until=Stage(until), say=out.print)
    else:
        lab.up(until=Stage(until), stall_shim=stall_shim, own_disks=own_disks, say=out.print)
    if monitoring:
        where = f"http://{lab.add_monitoring(say=out.print).address}"
        out.print(f"Prometheus {where}:9090  Alertmanager {where}:9093  notified {where}:9099")
    out.print(f"the lab is up ({until}). `failover status`, `failover lab fault --help`")


@command.command()
def down() -> None:
    """Remove everything of the lab, of a crashed one too."""
    _lab(whatever=True).down(say=console().print)


@command.command()
def image() -> None:
    """Build the image of the hosts where it is not there yet."""
    from failover.lab.image import ensure

    click.echo(ensure(console().print))


# --------------------------------------------------------------------------- asked


@command.command()
@output_option
def status(output: str) -> None:
    """Hosts, their units, and the faults that last. Exit code 1 when a host or unit is down."""
    lab = _attached()
    found, faults = lab.status(), lab.faults.active
    if output == "json":
        print_json(
            {
                "schema": 1,
                "stage": lab.stage,
                "netem": lab.netem,
                "closed": lab.closed,
                "hosts": [_host_row(one) for one in found],
                "faults": [str(fault) for fault in faults],
            }
        )
    else:
        _print_hosts(found)
        click.echo(
            f"stage: {lab.stage}; delay of the sea (netem): {_said(lab.netem)}; closed: "
            f"{_said(lab.closed)}"
        )
        click.echo(f"faults: {'; '.join(map(str, faults)) or 'none'}")
    if not all(_well(one) for one in found):
        raise SystemExit(ExitCode.FINDINGS)


def _host_row(one: HostStatus) -> dict[str, Any]:
    return {
        "name": one.host.name,
        "site": one.host.site,
        "role": one.host.role,
        "address": str(one.host.address),
        "container": one.container,
        "units": one.units,
    }


def _print_hosts(found: tuple[HostStatus, ...]) -> None:
    from rich.table import Table

    table = Table("site", "host", "address", "container", "units", box=None, pad_edge=False)
    for one in found:
        units = ", ".join(f"{unit.partition('.')[0]} {state}" for unit, state in one.units.items())
        host = one.host
        table.add_row(host.site, host.name, str(host.address), one.container, units)
    console().print(table)


def _well(one: HostStatus) -> bool:
    return one.container == "running" and all(state == "active" for state in one.units.values())


def _said(applied: bool) -> str:
    return "applied" if applied else "not applied (the kernel of this machine lacks it)"


@command.command()
@click.argument("host")
@click.argument("command_line", nargs=-1)
@click.option("--user", default="root", show_default=True, help="Who runs it there.")
def shell(host: str, command_line: tuple[str, ...], user: str) -> None:
    """A shell on HOST, or one command there: `failover lab shell jkt-db1 -- ps ax`."""
    lab = _attached()
    name = lab.host(host).name
    if command_line:
        ended = lab.exec(name, list(command_line), user=user)
        click.echo(ended.out, nl=False)
        raise SystemExit(ended.code)
    try:
        ended_with = subprocess.call(["docker", "exec", "-it", "-u", user, name, "bash"])
    except FileNotFoundError:
        raise UserError(
            "a shell needs the engine's command `docker`",
            todo="install it (docker-cli), or give a command: `failover lab shell HOST -- COMMAND`",
        ) from None
    raise SystemExit(ended_with)


@command.command()
@click.argument("host")
@click.option("-u", "--unit", help="Only of this unit.")
@click.option("-n", "--lines", default=100, show_default=True, help="The newest so many.")
def logs(host: str, unit: str | None, lines: int) -> None:
    """The journal of HOST."""
    click.echo(_attached().journal(host, unit, lines), nl=False)


# --------------------------------------------------------------------------- faults


@command.group()
def fault() -> None:
    """Break something. `failover lab heal` undoes it.

    A and B are sites or hosts. A PROCESS is one of guard, guard-minder, guard-worker, patroni,
    postmaster, postgres (all of them), backend, patroni-backend, controller, zookeeper, haproxy.
    """


@fault.command("list")
def list_faults() -> None:
    """The faults that last."""
    for one in _attached().faults.active:
        click.echo(str(one))


@fault.command()
@click.argument("target", metavar="SITE|HOST")
def unplug(target: str) -> None:
    """A black hole around a site or a host; inside a site all is as before."""
    _faults().unplug(target)


@fault.command()
@click.argument("a")
@click.argument("b")
@click.option("--one-way", is_flag=True, help="Only packets from A to B vanish.")
@click.option(
    "--port",
    "ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    help="Only TCP packets to this port.",
)
def cut(a: str, b: str, one_way: bool, ports: tuple[int, ...]) -> None:
    """Packets between A and B vanish."""
    _faults().cut(a, b, one_way=one_way, ports=ports)


@fault.command()
@click.argument("a")
@click.argument("b")
@click.option("--rate", required=True, metavar="SIZE", help="A second, as 200KiB or 1MiB.")
def throttle(a: str, b: str, rate: str) -> None:
    """A slow link: what PostgreSQL at A sends to B gets through at this rate."""
    bytes_s = size_option("--rate", rate)
    assert bytes_s is not None
    _faults().throttle(a, b, bytes_s)


@fault.command("kill-host")
@click.argument("target", metavar="SITE|HOST")
def kill_host(target: str) -> None:
    """Power lost. Healed, it boots again."""
    _faults().kill_host(target)


@fault.command()
@click.argument("target", metavar="SITE|HOST")
def freeze(target: str) -> None:
    """Every process stands still. Healed, they go on."""
    _faults().freeze(target)


@fault.command()
@click.argument("host")
@click.argument("process")
@click.option("--for-good", is_flag=True, help="Its unit does not start again until healed.")
def kill(host: str, process: str, for_good: bool) -> None:
    """SIGKILL for a process of HOST."""
    _faults().kill(host, process, for_good=for_good)


@fault.command()
@click.argument("host")
@click.argument("process")
def stop(host: str, process: str) -> None:
    """SIGSTOP for a process of HOST. Healed: SIGCONT."""
    _faults().stop(host, process)


@fault.command("stall-fsync")
@click.argument("host")
def stall_fsync(host: str) -> None:
    """A WAL fsync on HOST does not return (needs `lab up --stall-shim`)."""
    _faults().stall_fsync(host)


@fault.command("fill-disk")
@click.argument("host")
def fill_disk(host: str) -> None:
    """The disk of HOST's PostgreSQL and guard is full (needs `lab up --own-disks`)."""
    _faults().fill_disk(host)


@fault.command("no-barrier")
@click.argument("host")
def no_barrier(host: str) -> None:
    """No acknowledgement barrier on HOST: its guard is restarted without the right to make one."""
    _faults().no_barrier(host)


@command.command()
@click.argument("kind", required=False)
@click.argument("target", required=False)
def heal(kind: str | None, target: str | None) -> None:
    """Undo every fault, or the one named as `fault list` prints it (KIND TARGET)."""
    faults = _faults()
    if kind is None:
        _print_healed(faults.heal())
        return
    if target is None:
        raise click.UsageError("name both, KIND and TARGET, or none for every fault")
    faults.undo(kind, target)


def _print_healed(healed: tuple[Fault, ...]) -> None:
    for one in healed:
        click.echo(f"healed: {one}")
    if not healed:
        click.echo("there was nothing to heal")


# --------------------------------------------------------------------------- the lab


def _lab(*, whatever: bool = False) -> Lab:
    """A lab of the configuration that was named, else of this project's own deploy/."""
    from failover.lab.lab import CONFIG, Lab

    said = settings().config or os.environ.get("FAILOVER_CONFIG")
    return Lab(Path(said) if said and not whatever else CONFIG)


def _attached() -> Lab:
    from failover.lab.lab import Lab

    return Lab.attach()


def _faults() -> Faults:
    return _attached().faults
