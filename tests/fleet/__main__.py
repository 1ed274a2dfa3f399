"""Command line of the fleets: python3 -m fleet --help."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fleet import artifacts, hosts, images, namespace, packages
from fleet.cache import lock
from fleet.fleets import FLEETS, Fleet, named
from fleet.progress import FleetError, say
from fleet.recipes import RECIPES

TOP = Path(__file__).resolve().parents[2]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="fleet", description="Disposable fleets of real systemd hosts on this machine.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_text: str, of_fleet: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help_text, description=help_text)
        if of_fleet:
            sub.add_argument("fleet", metavar="FLEET", help=" or ".join(FLEETS))
        return sub

    up = verb("up", "start a fleet, or what of it is not running")
    up.add_argument(
        "--no-mirror", action="store_true", help="neither build artifacts nor start the host that serves them"
    )
    up.add_argument("--hosts", type=int, metavar="N", help="its first N hosts alone (and its mirror)")
    verb("down", "remove a fleet: its hosts, its network, and with the last one all that was changed on this machine")
    verb("status", "show a fleet's hosts")
    execute = verb("exec", "run a command on a host, as root")
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)
    verb("mirror", "print the address at which a fleet's mirror serves the artifacts")
    verb("prepare", "build images and artifacts that are missing, start nothing", of_fleet=False)
    verb("images", "build images that are missing, and list all", of_fleet=False)
    molecule = verb("molecule", "run a molecule scenario from create to destroy", of_fleet=False)
    molecule.add_argument("scenario", metavar="SCENARIO")
    return top


def show_status(fleet: Fleet) -> int:
    """A table of the fleet's hosts on stdout; 0 where all are running."""
    there = hosts.containers(fleet) if namespace.exists() else {}
    states = [
        (hosts.system_state(host) or there[host.container]["state"]) if host.container in there else "absent"
        for host in fleet.hosts
    ]
    for host, state in zip(fleet.hosts, states, strict=True):
        print(f"{host.name:<18}{host.address:<16}{host.image:<18}{state}")
    return 0 if all(state == hosts.RUNNING for state in states) else 1


def prepare_images(names: Sequence[str]) -> None:
    """Have these images in podman's store."""
    packages.ensure()
    with lock("fleet"):
        namespace.ensure()
        images.ensure(RECIPES[name] for name in names)


def show_images(fleets: Sequence[Fleet]) -> int:
    """Build the images of these fleets, and list them on stdout with their size."""
    used = sorted({host.image for fleet in fleets for host in fleet.hosts})
    prepare_images(used)
    for name in used:
        tar = images.tar_of(RECIPES[name])
        print(f"{name:<18}{RECIPES[name].tag:<46}{tar.stat().st_size / 1e6:6.0f} MB")
    return 0


def run_molecule(scenario: str) -> int:
    """Run `molecule test` at the top of the repository; its exit code."""
    began = time.monotonic()
    try:
        code = subprocess.run(["molecule", "test", "--scenario-name", scenario], check=False, cwd=TOP).returncode
    except OSError as error:
        raise FleetError("molecule cannot be run; use tools/with-venv, which provides it") from error
    finally:
        # Also where the scenario failed on the way.
        hosts.down(named("test" if scenario == "default" else scenario))
    say(f"molecule {scenario}: {'ok' if code == 0 else f'failed with exit {code}'} in {time.monotonic() - began:.0f} s")
    return code


def main(argv: Sequence[str]) -> int:
    """Run one verb; 0 is success, 1 a finding, 2 something that the user must mend (one line on stderr)."""
    options = parser().parse_args(argv)
    try:
        match options.verb:
            case "up":
                fleet = named(options.fleet)
                hosts.up(fleet.first(options.hosts) if options.hosts else fleet, mirror=not options.no_mirror)
            case "down":
                hosts.down(named(options.fleet))
            case "status":
                return show_status(named(options.fleet))
            case "exec":
                words = options.command[1:] if options.command[:1] == ["--"] else options.command
                hosts.become(named(options.fleet).host(options.host), words or ["bash", "--login"])
            case "mirror":
                print(named(options.fleet).mirror_url)
            case "prepare":
                show_images([named("demo"), named("test")])  # what `make demo` and `make test` use
                print(artifacts.mirror_root())
            case "images":
                return show_images(list(FLEETS.values()))
            case "molecule":
                return run_molecule(options.scenario)
    except FleetError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fleet: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
