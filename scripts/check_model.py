"""Checks the Promela model of the protocol exhaustively, and that every rule taken away is found.

    scripts/check_model.py                 every mutation, every limit, every instance
    scripts/check_model.py --quick         one small instance and two mutations: seconds
    scripts/check_model.py --only NO_FENCE SYNC    these mutations, limits, instances
    scripts/check_model.py --resume        but what was found in this very model before
    scripts/check_model.py --write         and the tables into docs/model.md

Needs spin and a C compiler (`make model` installs them). The search is breadth-first and complete:
no bitstate, no hash compaction; a counterexample is the shortest there is. One search has at most
6 GB and 15 minutes of the processor; one that needs more has failed. Exits with 1 where an
assertion fails, a mutation survives or is found by another assertion than it should be.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from model_cases import INSTANCES, LARGE, LIMITS, MUTATIONS, QUICK, Instance, Limit, Mutation

Broken = TypeVar("Broken", Mutation, Limit)

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "model"
PAGE = ROOT / "docs" / "model.md"
FOUND = ROOT / ".build" / "model"
BEGIN, END = "<!-- make model: begin -->", "<!-- make model: end -->"
MEMORY_MIB_MAX = 6000
PROCESSOR_S_MAX = 900
HASH_TABLE_BITS = 24
QUICK_MUTATIONS = ("NO_PERMIT", "SESSION_TOO_SHORT")
HOSTS = {"h0": "jkt-db1", "h1": "jkt-db2", "h2": "mks-db1", "h3": "mks-db2"}
STEP = re.compile(r"^\s*((?:h\d|controller|slow controller|patroni|clock|guard|follower"
                  r"|leader|network|zookeeper|minder): .*)$")  # fmt: skip
ASSERTED_AT = re.compile(r"^spin: (\S+):(\d+), Error: assertion violated")
ASSERTION = re.compile(r"assert\(.*/\* (\w+) \*/")


class ModelError(Exception):
    """spin, the compiler or the search could not do its work. The message says which, and why."""


@dataclass(frozen=True, slots=True)
class Run:
    """One search. ``broken``: the name of the assertion that failed; empty: none did."""

    states: int
    transitions: int
    depth: int
    memory_mib: float
    processor_s: float
    broken: str
    trail: tuple[str, ...]  # one line a step


# --------------------------------------------------------------------------- one search


def found_before(file: str, defines: Sequence[str]) -> Path:
    """Where the result of this search in the model as it stands is kept."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(MODEL.glob("*.pml")))
    key = hashlib.sha256("\0".join((text, file, *defines)).encode()).hexdigest()
    return FOUND / f"{key[:32]}.json"


def result(file: str, defines: Sequence[str], optimize: str, *, resume: bool) -> Run:
    """Of a search, or of the same one that came to its end before."""
    kept = found_before(file, defines)
    if resume and kept.exists():
        said = json.loads(kept.read_text(encoding="utf-8"))
        return Run(**{**said, "trail": tuple(said["trail"])})
    run = search(file, defines, optimize)
    FOUND.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(run)), encoding="utf-8")
    return run


def search(file: str, defines: Sequence[str], optimize: str) -> Run:
    """Make the verifier of this file and run it to the end, or to its first counterexample."""
    options = [f"-D{define}" for define in defines]
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        there = Path(folder)
        _command(["spin", *options, "-a", str(MODEL / file)], there)
        flags = [optimize, "-w", "-DSAFETY", "-DBFS", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MIB_MAX}"]
        _command(["cc", *flags, "-o", "pan", "pan.c"], there)
        before_s = _processor_s()
        said = _command(["./pan", "-n", f"-w{HASH_TABLE_BITS}"], there)
        took_s = _processor_s() - before_s
        complete = "Search not completed" not in said
        found = list(there.glob("*.trail"))
        if not complete and not found:
            raise ModelError(f"{file} {' '.join(options)}: the search did not end:\n{said[-800:]}")
        broken, trail = _replay(there, file, options, found[0]) if found else ("", ())
    return Run(
        states=int(_number(r"(\S+) states, stored", said)),
        transitions=int(_number(r"(\S+) transitions", said)),
        depth=int(_number(r"depth reached (\d+)", said)),
        memory_mib=_number(r"([\d.]+)\s+total actual memory usage", said),
        processor_s=took_s,
        broken=broken,
        trail=trail,
    )


def _processor_s() -> float:
    """Of everything that was run so far. What else the machine does is not in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S_MAX, PROCESSOR_S_MAX))


def _command(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, preexec_fn=_limit
        )
    except FileNotFoundError:
        raise ModelError(f"{command[0]} is not installed: run `scripts/setup --model`") from None
    text = done.stdout + done.stderr
    if done.returncode < 0:
        raise ModelError(
            f"{command[0]} was ended by signal {-done.returncode} (it has {PROCESSOR_S_MAX} s of "
            f"the processor and {MEMORY_MIB_MAX} MiB):\n{text[-800:]}"
        )
    if done.returncode != 0 and command[0] != "./pan":
        raise ModelError(f"{' '.join(command)}:\n{text[-2000:]}")
    return text


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise ModelError(f"the verifier does not say {pattern!r}:\n{text[-800:]}")
    return float(found[1])


def _replay(
    folder: Path, file: str, options: list[str], trail: Path
) -> tuple[str, tuple[str, ...]]:
    """The name of the assertion (the comment behind it), and what happened, a line a step."""
    said = _command(["spin", "-t", "-k", trail.name, *options, str(MODEL / file)], folder)
    name, lines = "unnamed", []
    for line in said.splitlines():
        if step := STEP.match(line):
            lines.append(re.sub(r"\bh\d\b", lambda host: HOSTS[host[0]], step[1]))
        elif at := ASSERTED_AT.match(line):
            source = Path(at[1]).read_text(encoding="utf-8").splitlines()[int(at[2]) - 1]
            named = ASSERTION.search(source)
            name = named[1] if named else source.strip()
    return name, shortened(lines)


def shortened(lines: Sequence[str]) -> tuple[str, ...]:
    """Steps of a clock that only goes on are told as one; so are other repetitions."""
    kept: list[str] = []
    counts: list[int] = []
    for line in lines:
        same = kept and (kept[-1] == line or (_ticks(kept[-1]) and _ticks(line)))
        if same:
            kept[-1], counts[-1] = line, counts[-1] + 1
        else:
            kept.append(line)
            counts.append(1)
    return tuple(
        line if count == 1 else f"{line} ({count} times)"
        for line, count in zip(kept, counts, strict=True)
    )


def _ticks(line: str) -> bool:
    return line.startswith("clock: ")


# --------------------------------------------------------------------------- all of them


def run_instances(
    instances: Sequence[Instance], *, resume: bool = False
) -> list[tuple[Instance, Run]]:
    runs = []
    for instance in instances:
        run = result(instance.file, instance.defines, "-O1", resume=resume)
        verdict = f"FAILED: {run.broken}" if run.broken else "holds"
        say(f"{instance.name}, {instance.sentence} ({instance.file} {' '.join(instance.defines)}): "
            f"{verdict}; {run.states} states, {run.transitions} transitions, depth {run.depth}, "
            f"{run.memory_mib:.0f} MiB, {run.processor_s:.0f} s")  # fmt: skip
        tell(run)
        runs.append((instance, run))
    return runs


def run_broken(
    cases: Sequence[Broken], prefix: str, *, resume: bool = False
) -> list[tuple[Broken, Run]]:
    runs = []
    for case in cases:
        defines = (*case.defines, f"{prefix}{case.define}")
        # In the protocol a counterexample is found in less time than an optimised verifier is made.
        optimize = "-O0" if case.file == "protocol.pml" else "-O1"
        run = result(case.file, defines, optimize, resume=resume)
        verdict = f"found by {run.broken} in {len(run.trail)} lines" if run.broken else "SURVIVES"
        if run.broken and run.broken != case.breaks:
            verdict += f", NOT BY {case.breaks}"
        say(f"{case.define}, {case.sentence}: {verdict} "
            f"({run.states} states, {run.processor_s:.0f} s)")  # fmt: skip
        tell(run)
        runs.append((case, run))
    return runs


def say(text: str) -> None:
    print(text, flush=True)


def tell(run: Run) -> None:
    for line in run.trail:
        say(f"    {line}")


def failures(
    instances: Sequence[tuple[Instance, Run]],
    broken: Sequence[tuple[Mutation | Limit, Run]],
) -> list[str]:
    """What must not be: an assertion of the whole model fails, or something is not found."""
    found = [f"{i.name}: {run.broken} does not hold" for i, run in instances if run.broken]
    for case, run in broken:
        if run.broken != case.breaks:
            by = run.broken or "nothing"
            found.append(f"{case.define} ({case.file}): found by {by}, not by {case.breaks}")
    return found


# --------------------------------------------------------------------------- the table


def document(
    instances: Sequence[tuple[Instance, Run]],
    mutations: Sequence[tuple[Mutation, Run]],
    limits: Sequence[tuple[Limit, Run]],
) -> str:
    """The part of docs/model.md between the markers."""
    version = _command(["spin", "-V"], ROOT).strip()
    lines = [
        f"{version}; {platform.machine()}, one core; breadth-first, complete, no bitstate. "
        "Seconds are the processor's.",
        "",
        "| instance | bounds | states | transitions | depth | memory | seconds | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for instance, run in instances:
        bounds = ", ".join(d.lower().replace("=", " ") for d in instance.defines if d != "SORTED")
        verdict = f"**{run.broken} fails**" if run.broken else "holds"
        lines.append(
            f"| `{instance.name}`: {instance.sentence} | {bounds} | {run.states:,} "
            f"| {run.transitions:,} | {run.depth} | {run.memory_mib:,.0f} MiB "
            f"| {run.processor_s:.0f} | {verdict} |"
        )
    lines += ["", "### Rules taken away", "", *_table(mutations, "rule that is gone")]
    lines += ["", "### Assumptions dropped", "", *_table(limits, "what may happen then")]
    return "\n".join(lines)


def _table(runs: Sequence[tuple[Mutation | Limit, Run]], what: str) -> list[str]:
    lines = [
        f"| {what} | define | found by | steps | states | counterexample |",
        "|---|---|---|---|---|---|",
    ]
    for case, run in runs:
        found = f"`{run.broken}`" if run.broken else "**nothing**"
        lines.append(
            f"| {case.sentence} | `{case.define}` | {found} | {run.depth} | {run.states:,} "
            f"| {in_one_line(run.trail)} |"
        )
    return lines


def in_one_line(trail: Sequence[str]) -> str:
    """The story of a trail. Of the lease's: without every single ping and unit of time."""
    told = [line for line in trail if not line.startswith(("clock: ", "follower: ", "leader: "))]
    return "; ".join(told)


def write(text: str) -> None:
    """Between the markers of the page; everything around them stays."""
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise ModelError(f"{PAGE}: the markers {BEGIN} and {END} are missing")
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Cases:
    mutations: tuple[Mutation, ...]
    limits: tuple[Limit, ...]
    instances: tuple[Instance, ...]


def selected(*, quick: bool, only: Sequence[str] | None) -> Cases:
    """What is to be run. ModelError for a name that nothing has."""
    if quick:
        return Cases(tuple(m for m in MUTATIONS if m.define in QUICK_MUTATIONS), (), QUICK)
    if not only:
        return Cases(MUTATIONS, LIMITS, INSTANCES)
    instances = (*INSTANCES, *LARGE)
    known = {m.define for m in MUTATIONS} | {x.define for x in LIMITS} | {i.name for i in instances}
    if missing := set(only) - known:
        raise ModelError(f"no {', '.join(sorted(missing))}; there are {', '.join(sorted(known))}")
    return Cases(
        tuple(m for m in MUTATIONS if m.define in only),
        tuple(x for x in LIMITS if x.define in only),
        tuple(i for i in instances if i.name in only),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small instance, two mutations")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these, not all")
    parser.add_argument("--resume", action="store_true", help="take results of this very model")
    parser.add_argument("--write", action="store_true", help="the tables into docs/model.md")
    chosen = parser.parse_args()
    try:
        cases = selected(quick=chosen.quick, only=chosen.only)
        mutations = run_broken(cases.mutations, "MUTATION_", resume=chosen.resume)
        limits = run_broken(cases.limits, "", resume=chosen.resume)
        instances = run_instances(cases.instances, resume=chosen.resume)
        if chosen.write and not (chosen.quick or chosen.only):
            write(document(instances, mutations, limits))
    except ModelError as error:
        print(f"check_model: {error}", file=sys.stderr)
        return 1
    wrong = failures(instances, [*mutations, *limits])
    for line in wrong:
        print(f"FAILED {line}", file=sys.stderr)
    say(f"{len(instances)} instances, {len(mutations)} mutations, {len(limits)} limits: "
        f"{len(wrong)} failed")  # fmt: skip
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
