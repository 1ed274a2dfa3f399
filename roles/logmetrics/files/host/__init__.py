"""What runs on a host beside the parser: it looks, stages releases, switches them, proves them, goes back.

`look`, `unpack` and `lease` stand alone, as the role sends them to a host's python3 on stdin before anything of the
role is there. The rest is installed as one folder, `__main__.py` names its verbs. Standard library,
Python 3.8 and later.
"""
