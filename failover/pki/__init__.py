"""A private certificate authority in a directory, for sites that have none of their own.

``names`` says which host proves what, ``authority`` signs, ``directory`` keeps and renews. Only
here is ``cryptography`` imported.
"""
