"""Names of the array types that this package uses."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RGB: TypeAlias = NDArray[np.uint8]
"""H×W×3, red first."""

Mask: TypeAlias = NDArray[np.uint8]
"""H×W, 255 inside and 0 outside."""

LabelMap: TypeAlias = NDArray[np.uint8]
"""H×W, one label of `vision.body.mask_types.Atr` a pixel."""

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]

Affine: TypeAlias = NDArray[np.float64]
"""2×3. Maps a column (x, y, 1) of continuous coordinates, in which pixel i spans [i, i + 1)."""

Size: TypeAlias = tuple[int, int]
"""(width, height) in pixels."""

Box: TypeAlias = tuple[float, float, float, float]
"""(x1, y1, x2, y2)."""

Corners: TypeAlias = tuple[tuple[float, float], ...]
"""x and y of each corner. They need not lie on pixel centres, and may lie outside the photo."""
