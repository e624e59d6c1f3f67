"""The console: a read-only page that every controller serves beside its metrics.

Shows what ``status``, ``explain`` and ``history`` show, of the controller's own newest turn. It
decides nothing, asks nobody, and can change nothing.
"""
