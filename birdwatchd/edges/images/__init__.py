"""The loupe: bytes in, an upright picture out. Proves a file whole by decoding it, once it has passed the limits.

Only this room reads with Pillow. The parser is chosen by our own look at the bytes and called directly, not through
`Image.open`: so no other parser is ever entered, and the size cap is ours alone, whatever `Image.MAX_IMAGE_PIXELS` says.
What is built to keep it busy does not reach it (`core/oddities`). The index of a multi-picture JPEG is not parsed: its
first picture is the photo.

Several threads may decode at the same time; pictures that take much memory wait for each other.
"""

from birdwatchd.edges.images.admission import Limits
from birdwatchd.edges.images.decoding import decode
from birdwatchd.edges.images.picture import Picture, as_jpeg

__all__ = ["Limits", "Picture", "as_jpeg", "decode"]
