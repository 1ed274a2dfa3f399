"""Disposable fleets of real systemd hosts for the demo and the tests: podman, Debian's packages, nothing else.

    python3 -m fleet up demo                 start what is not running (also after a power-off of hosts)
    python3 -m fleet exec demo deb12 -- ps   run something on a host; without a command, a shell
    python3 -m fleet down demo               remove all of it

Data flows one way: recipes -> images -> fleets -> hosts. A fleet is one entry in fleets.py, an image one in recipes.py.
Standard library only, so that it runs before any virtual environment is there.
"""
