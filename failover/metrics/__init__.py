"""What controllers and guards count and measure, for Prometheus.

``table`` has what a metric is, ``names`` every one of a controller, ``controller`` sets them,
``page`` writes docs/metrics.md.
"""
