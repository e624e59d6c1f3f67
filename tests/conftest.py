"""For every test: how long an example of a property test takes depends on the machine, and says
nothing about the product."""

from hypothesis import HealthCheck, settings

settings.register_profile("failover", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("failover")
