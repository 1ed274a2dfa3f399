"""Pack a Python package's modules into one tar whose bytes depend on their content alone.

    bundle.py PACKAGE_DIR OUTPUT_DIR

Prints a JSON object: path and sha256 of the archive. Not compressed, as zlib's output differs between its versions;
fixed times, owners and modes, sorted names: the sum names the content, on every controller.
"""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def pack(package: Path) -> bytes:
    """The archive's bytes: every *.py below a package, under the package's name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(package.rglob("*.py")):
            data = path.read_bytes()
            info = tarfile.TarInfo(str(path.relative_to(package.parent)))
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def main(package: str, folder: str) -> int:
    """Write the archive as FOLDER/<package>-<12 hex>.tar."""
    data = pack(Path(package))
    total = hashlib.sha256(data).hexdigest()
    path = Path(folder) / f"{Path(package).name}-{total[:12]}.tar"
    path.write_bytes(data)
    sys.stdout.write(json.dumps({"path": str(path), "sha256": total}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
