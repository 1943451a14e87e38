"""Smaller RGB pictures out of any that Pillow can hold."""

import numpy as np
import numpy.typing as npt
from PIL import Image

GROUND = (127, 127, 127, 255)
"""Mid-grey, behind what is transparent and beside what is no square: to the network, which looks at (x - 127) / 128, nothing at all."""


def rgb(image: Image.Image, factor: int) -> Image.Image:
    """Make a smaller RGB picture of one in any of Pillow's modes."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(_grey(np.asarray(image)))
    if image.mode != "LA" and image.has_transparency_data:
        image = _in_mode(image, "RGBA")
    elif image.mode not in ("L", "LA", "CMYK"):  # these shrink as they are
        image = _in_mode(image, "RGB")
    if factor > 1:
        image = image.reduce(factor)
    if image.mode in ("LA", "RGBA"):
        image = _in_mode(image, "RGBA")
        ground = Image.new("RGBA", image.size, GROUND)
        ground.alpha_composite(image)
        image = ground
    return _in_mode(image, "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert where there is something to convert: Pillow would copy all pixels even so."""
    return image if image.mode == mode else image.convert(mode)


def _grey(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Bring deep grey values to 0–255: integers count as 16 bits, numbers of no agreed range are stretched."""
    if values.dtype.kind in "iu":
        return (values.clip(0, 65535) >> 8).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return ((finite - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)
