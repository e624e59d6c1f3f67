"""The lab's operations host: Debian's Prometheus and Alertmanager, the files of deploy/prometheus.

Opt-in: a lab without it is the same lab. It stands at the witness, so that what it says of a lost
site does not vanish with that site; of the lab's faults only cuts of the network touch it.
"""
