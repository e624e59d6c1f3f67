"""A whole world from one seed: sites, links, ZooKeeper, PostgreSQL, Patroni, guards, controllers.

The product's own planner, controller and guard logic run in it as they are; everything they touch
is simulated, on a virtual clock. The same seed gives the same history. Nothing here sleeps, opens
a socket or asks the real clock, and nothing outside the tests and ``make sim`` imports it.

    kernel      virtual time and processes             network    who reaches whom
    ensemble    servers, elections, sessions          client     a session of it: the Store protocol
    postgres    one database server                  patroni    Patroni's loop beside it
    guard       failover/guard/logic.py on a host    controller failover/controller.py at a site
    faults      what can go wrong, at random         checker    the invariants
    world       all of it together                   schedule   one seed: faults, then healing
"""
