"""The fleets: which hosts, from which images, at which addresses. The inventories name the same addresses."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path

from fleet import namespace
from fleet.cache import cache_dir
from fleet.progress import FleetError
from fleet.recipes import RECIPES, Recipe

MIRROR = "mirror"  # the overlay of the host that serves artifacts; their directory is mounted at /srv/mirror
MIRROR_PORT = 8080
SCALE_MOST = 50


@dataclass(frozen=True)
class Host:
    """One host: a container of this name whose init is systemd. `overlay` is laid over it when it is created."""

    fleet: str
    name: str
    image: str
    address: str
    overlay: str = ""

    @property
    def container(self) -> str:
        """The container's name in podman."""
        return f"logmetrics-{self.fleet}-{self.name}"

    @property
    def recipe(self) -> Recipe:
        """The image's recipe."""
        return RECIPES[self.image]


@dataclass(frozen=True)
class Fleet:
    """Hosts on a network of their own."""

    name: str
    subnet: str
    hosts: tuple[Host, ...]
    old: bool = False  # its mirror also serves the older releases

    @property
    def network(self) -> str:
        """The network's name in podman."""
        return f"logmetrics-{self.name}"

    @property
    def home(self) -> Path:
        """Keys and known_hosts; the inventories point here."""
        return cache_dir() / "fleets" / self.name

    @property
    def control_dir(self) -> Path:
        """Sockets of ssh connections that Ansible keeps open; they must not outlive the hosts behind them."""
        return namespace.RUN_DIR / "ssh" / self.name

    @property
    def mirror_url(self) -> str:
        """Root of the artifacts served on the fleet's network; FleetError where this fleet has no mirror."""
        for host in self.hosts:
            if host.overlay == MIRROR:
                return f"http://{host.address}:{MIRROR_PORT}"
        raise FleetError(f"fleet {self.name} has no mirror host")

    def first(self, count: int, after: int = 0) -> Fleet:
        """The same fleet with its mirror and `count` of its hosts alone; FleetError where it has less."""
        plain = [host for host in self.hosts if host.overlay != MIRROR]
        if not 0 < count <= len(plain) - after:
            raise FleetError(f"fleet {self.name} has {len(plain)} hosts, not {after + count}")
        wanted = {host.name for host in plain[after : after + count]}
        return replace(self, hosts=tuple(host for host in self.hosts if host.overlay == MIRROR or host.name in wanted))

    def host(self, name: str) -> Host:
        """The host of this name; FleetError naming those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise FleetError(
            f"fleet {self.name} has no host {name!r}; it has: {' '.join(host.name for host in self.hosts)}"
        )


def _fleet(name: str, subnet: str, *hosts: tuple[str, str, int, str], old: bool = False) -> Fleet:
    network = ipaddress.ip_network(subnet)
    return Fleet(
        name,
        subnet,
        tuple(Host(name, host, image, str(network[number]), overlay) for host, image, number, overlay in hosts),
        old,
    )


FLEETS = {
    fleet.name: fleet
    for fleet in (
        _fleet(
            "demo",
            "10.213.71.0/24",
            ("deb13", "trixie", 13, ""),
            ("deb12", "bookworm", 12, ""),
            ("deb12j", "bookworm-journal", 22, ""),
            ("graphite", "graphite", 80, ""),
            ("mirror", "bookworm-journal", 81, MIRROR),
        ),
        # One host for each way in which logs are rotated (fleet/hostchaos.py).
        _fleet(
            "chaos",
            "10.213.73.0/24",
            ("rename", "bookworm", 11, ""),
            ("dateext", "bookworm", 12, ""),
            ("copied", "bookworm", 13, ""),
            ("journal", "bookworm-journal", 22, ""),
            ("graphite", "graphite", 80, ""),
            ("mirror", "bookworm-journal", 81, MIRROR),
        ),
        _fleet(
            "test",
            "10.213.72.0/24",
            ("trixie", "trixie", 13, ""),
            ("bookworm", "bookworm", 12, ""),
            ("bookworm-journal", "bookworm-journal", 22, ""),
            ("mirror", "bookworm-journal", 81, MIRROR),
        ),
        # History into a real store (fleet/backfilling.py, tests/carbon).
        _fleet(
            "verbs",
            "10.213.77.0/24",
            ("deb12", "bookworm", 12, ""),
            ("graphite", "graphite", 80, ""),
            ("mirror", "bookworm-journal", 81, MIRROR),
        ),
        _fleet(
            "rollout",
            "10.213.75.0/24",
            ("one", "trixie", 11, ""),
            ("two", "bookworm", 12, ""),
            ("three", "bookworm-journal", 13, ""),
            ("mirror", "bookworm-journal", 81, MIRROR),
            old=True,
        ),
        # For what takes many hosts; how many of them, the command line says (`fleet up scale --hosts 20`). The rules'
        # proof and the rollout's have one each, so that they may run at the same time.
        *(
            _fleet(
                name,
                subnet,
                *((f"h{number:02}", "bookworm", 10 + number, "") for number in range(1, SCALE_MOST + 1)),
                ("mirror", "bookworm-journal", 81, MIRROR),
                old=True,
            )
            for name, subnet in (("scale", "10.213.76.0/24"), ("failures", "10.213.96.0/24"))
        ),
        # Rules on many hosts (fleet/rules_proof.py).
        _fleet(
            "rules",
            "10.213.78.0/24",
            *((f"h{number:02}", "bookworm", 10 + number, "") for number in range(1, 31)),
            ("mirror", "bookworm-journal", 81, MIRROR),
        ),
        _fleet(
            "lifecycle",
            "10.213.95.0/24",
            ("deb11", "bullseye", 11, ""),
            ("deb12", "bookworm", 12, ""),
            ("deb13", "trixie", 13, ""),
            ("mirror", "bookworm-journal", 81, MIRROR),
            old=True,
        ),
        # Real programs for the rule packs (fleet/programs.py).
        _fleet(
            "programs",
            "10.213.74.0/24",
            ("deb11", "bullseye-programs", 11, ""),
            ("deb12", "bookworm-programs", 12, ""),
            ("deb13", "trixie-programs", 13, ""),
        ),
    )
}


def named(name: str) -> Fleet:
    """The fleet of this name; FleetError naming those there are."""
    if name not in FLEETS:
        raise FleetError(f"there is no fleet {name!r}; there are: {' '.join(FLEETS)}")
    return FLEETS[name]
