"""Disposable fleets of real systemd hosts for the demo and the tests: podman, Debian's packages, nothing else."""
