"""A small marketplace whose money must always add up, and the judge of what it lost.

``marketplace`` is the shop, ``client`` its customers, ``attempt`` what they were told (kept in
files outside the database), ``checker`` compares the two. Nothing here decides or repairs.
"""
