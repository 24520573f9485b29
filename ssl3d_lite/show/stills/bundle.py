"""A still picture beside a live view, in what a notebook keeps of it.

JupyterLab shows the widget. GitHub, nbviewer and a printed page, which cannot, show the picture.
"""

import base64
import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from ssl3d_lite.show.figures.alt_text import alt_text

DPI = 100  # dots per inch, on the page where it is shown
SHARPER = 1.6  # pixels of the picture for each of the page: screens are finer than that

Bundle = dict[str, Any]
Message = Mapping[str, Any]  # what a view sends to the browser, under the names of its module


def png(figure: Figure) -> bytes:
    """The figure as a PNG of 256 colours: a third of the bytes."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI * SHARPER)
    picture = Image.open(drawn).convert("RGB")
    # an octree keeps thin lines of colour
    few = picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, format="png", optimize=True)
    return small.getvalue()


def with_still(bundle: Bundle, draw: Callable[[], Figure]) -> tuple[Bundle, Bundle]:
    """What a widget shows, by MIME type, with the picture that ``draw`` makes; and its metadata.

    A view that cannot be drawn is shown without a picture, with a warning.
    """
    try:
        figure = draw()
        picture = base64.b64encode(png(figure)).decode()
    except Exception as error:  # the live view must not be lost for its picture
        warnings.warn(f"this view has no still picture: {error!r}", stacklevel=2)
        return bundle, {}
    about = {"alt": alt_text(figure), "width": round(DPI * figure.get_figwidth())}
    seen = {"image/png": picture, "text/plain": about["alt"]}
    return bundle | seen, {"image/png": about}
