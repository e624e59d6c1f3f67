"""The loss receipt: what an old branch had committed and the other one has not. Pure.

``waldump`` understands a line of pg_waldump, ``branch`` collects what was committed after the
divergence point, ``rows`` says where each affected row is to be found on the old branch,
``document`` is the receipt itself. Reading files and asking servers is the guard's part.
"""
