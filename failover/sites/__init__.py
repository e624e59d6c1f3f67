"""What controllers and commands ask of the hosts: PostgreSQL, Patroni, guards, HAProxy, ZooKeeper's
words, certificates, names. The guard on its own host asks its own server itself."""
