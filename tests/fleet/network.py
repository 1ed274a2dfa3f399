"""A fleet's own network: a bridge of podman with a fixed subnet."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

from fleet.fleets import Fleet
from fleet.podman import podman, query
from fleet.progress import FleetError, say

Network = ipaddress.IPv4Network


def routes() -> list[tuple[str, Network]]:
    """This machine's IPv4 routes as (interface, destination), default routes left out (/proc/net/route, proc(5))."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = (ipaddress.IPv4Address(struct.pack("=I", int(fields[n], 16))) for n in (1, 7))
        network = Network(f"{destination}/{mask}")
        if network.prefixlen:
            found.append((fields[0], network))
    return found


def ensure(fleet: Fleet) -> None:
    """Make the network where it is missing; FleetError where this machine uses the addresses for something else."""
    own = bridge(fleet)
    for interface, network in routes():
        if interface != own and network.overlaps(Network(fleet.subnet)):
            raise FleetError(
                f"fleet {fleet.name} needs {fleet.subnet}, but {interface} of this machine has {network}: "
                f"is the fleet up from elsewhere (there: fleet down {fleet.name})? "
                f"Else change the addresses in tests/fleet/fleets.py and in its inventory"
            )
    if own:
        return
    say(f"making network {fleet.network} ({fleet.subnet})")
    # Without podman's name service: hosts know each other by /etc/hosts, all else is asked of the machine's resolver.
    podman("network", "create", "--disable-dns", "--subnet", fleet.subnet, fleet.network)


def bridge(fleet: Fleet) -> str:
    """The network's interface on this machine; "" where podman has no such network."""
    names = (one["network_interface"] for one in query("network", "ls") if one["name"] == fleet.network)
    return next(names, "")


def remove(fleet: Fleet) -> None:
    """Remove the network, where it is there."""
    if bridge(fleet):
        podman("network", "rm", fleet.network)


def gateway(fleet: Fleet) -> str:
    """This machine's own address on the fleet's network (the first one, podman-network-create(1))."""
    return str(ipaddress.ip_network(fleet.subnet)[1])
