"""The masks of two demos, pixel by pixel: this machine's, and those of an ARM64 machine.

Exit status 1 where a mask differs by more than LARGEST_SHARE.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

LARGEST_SHARE = 0.001
"""Of a mask's pixels. The networks' sums are rounded in another order: measured were 19 to 45 of 921,600 pixels."""


def compare(here: Path, there: Path) -> None:
    """Print, for each mask of the demo in `here`, how many pixels differ in the demo in `there`."""
    masks = sorted(here.glob("*/*_mask.png"))
    table = Table("mask", "pixels", "differ", box=None)
    shares = []
    for mask in masks:
        name = mask.relative_to(here)
        ours, theirs = (cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for folder in (here, there))
        different = int(np.count_nonzero(ours != theirs))
        shares.append(different / ours.size)
        table.add_row(str(name), f"{ours.size:,}", f"{different:,}")
    Console().print(table)
    sys.exit(not shares or max(shares) > LARGEST_SHARE)


if __name__ == "__main__":
    typer.run(compare)
