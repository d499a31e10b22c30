"""Make the pictures of the README: the demo's curves and a sheet of patches.

python scripts/make_pictures.py
"""

import shutil
import tempfile
from pathlib import Path

from sentinode import open_patches
from sentinode.cli.main import main as sentinode
from sentinode.data.quality.inspection import spaced_examples
from sentinode.plots import draw_contact_sheet, save_figure

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    """Run the demo and copy its figures; draw a sheet of patches."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "demo"
        if sentinode(["demo", "--out", str(run)]):
            raise SystemExit(1)
        shutil.copy(run / "roc.png", IMAGES / "demo-roc.png")
        shutil.copy(run / "curves.png", IMAGES / "demo-curves.png")
    patches = open_patches("pcam-mini", split="train")
    groups = [(name, name, patches.read(rows)) for name, _, rows in spaced_examples(patches, 9)]
    save_figure(draw_contact_sheet(groups, columns=9), IMAGES / "sheet.png")


if __name__ == "__main__":
    main()
