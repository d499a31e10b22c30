"""Compare the OpenSeadragon that the viewer ships with the package of its version in the npm registry.

python scripts/check_openseadragon.py

Exit status 1: the files differ. 2: npm is missing or cannot reach its registry.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src/sentinode/viewer/static/vendor/openseadragon"
UNREACHABLE = 2


def main() -> int:
    """Download the package and compare the files that SOURCE.json names."""
    source = json.loads((FOLDER / "SOURCE.json").read_text(encoding="utf-8"))
    package = f"{source['package']}@{source['version']}"
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed")
        return UNREACHABLE
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            [npm, "pack", package, "--json", "--fetch-retries=0", "--pack-destination", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if packed.returncode:
            print(f"npm cannot download {package}: {packed.stderr.strip()[-300:]}")
            return UNREACHABLE
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            for name, expected in source["files"].items():
                member = archive.extractfile(expected["path"])
                published = hashlib.sha256(member.read()).hexdigest() if member else "missing"
                shipped = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
                if not published == shipped == expected["sha256"]:
                    named = expected["sha256"]
                    print(f"{name}: npm has {published}, the viewer ships {shipped}, SOURCE.json names {named}")
                    return 1
    print(f"{package}: {', '.join(source['files'])} equal those in the npm registry")
    return 0


if __name__ == "__main__":
    sys.exit(main())
