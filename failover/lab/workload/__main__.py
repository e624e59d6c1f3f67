"""``python -m failover.lab.workload``: what runs in a client host."""

from failover.lab.workload.inside import command

if __name__ == "__main__":
    command(prog_name="failover.lab.workload")
