"""Lag, loss estimate and salvage arithmetic. Pure."""
