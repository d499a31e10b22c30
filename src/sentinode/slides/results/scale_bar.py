"""Scale bar below a picture of a slide."""

import math

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from sentinode.plots.style import INK, rgb

_BARS_UM = tuple(step * 10**power for power in range(5) for step in (1, 2, 5))
_FOOTER_PX, _MARGIN_PX, _BAR_PX, _GAP_PX, _FONT_PX = 48, 16, 6, 10, 22


def scale_bar_um(width_um: float) -> int:
    """Choose the length of a scale bar for a picture: 1, 2 or 5 times a power of ten, a quarter of the width at most.

    Examples
    --------
    >>> scale_bar_um(600), scale_bar_um(9000)
    (100, 2000)
    """
    return max([each for each in _BARS_UM if each <= width_um / 4], default=_BARS_UM[0])


def add_scale_bar(picture: Image.Image, um_px: float) -> Image.Image:
    """Add a scale bar below a picture.

    Parameters
    ----------
    picture : PIL.Image.Image
        RGB.
    um_px : float
        µm per pixel.

    Returns
    -------
    PIL.Image.Image
        The picture above a white footer; wider than the picture where the label of the bar needs it.
    """
    length_um = scale_bar_um(picture.width * um_px)
    label = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um} µm"
    font = ImageFont.truetype(get_data_path() + "/fonts/ttf/DejaVuSans.ttf", _FONT_PX)  # Pillow's own has no µ.
    end = _MARGIN_PX + length_um / um_px
    needed = math.ceil(end + _GAP_PX + font.getlength(label) + _MARGIN_PX)
    image = Image.new("RGB", (max(picture.width, needed), picture.height + _FOOTER_PX), "white")
    image.paste(picture)
    draw = ImageDraw.Draw(image)
    middle = picture.height + _FOOTER_PX // 2
    draw.rectangle((_MARGIN_PX, middle - _BAR_PX // 2, end, middle + _BAR_PX // 2), fill=rgb(INK))
    draw.text((end + _GAP_PX, middle), label, rgb(INK), font, "lm")
    return image
