"""What stands together on a slide: as much as there is room for, and no answer beside its question.

From top to bottom a slide has text, the code that the text speaks of, and what that printed; or a
picture, with short code above it. A brief text that follows a picture stands beside it or below it,
wherever the picture is larger. If the text above code asks for a prediction, what the code shows is
on a later slide.
"""

import base64
import math
import re
import struct
from dataclasses import dataclass, field

_ROOM = 17  # lines of text
_LETTERS = 88  # that a line of text has
_CODE_LINE = 0.72  # lines of text
_CODE_LINES = 22  # on one slide
_ABOVE = 5  # lines that a picture may have above it
_BRIEF = 600  # letters of a text that stands beside a picture
_LINE, _WIDTH, _PICTURES_SHARE = 38, 1232, 0.62  # pixels; the rest of the width is text's
_FOLDED = re.compile(r"<details>.*?</details>", re.S)
_ONE_FOLD = re.compile(r"<details>(?:(?!</details>).)*</details>\s*", re.S)
QUESTION = "**Predict"
_PNG_SIZE = slice(16, 24)  # width and height, each 4 bytes


@dataclass
class Slide:
    """A slide that is being filled.

    Attributes:
        blocks: what it has above its picture (HTML), from top to bottom.
        parts: "text", "code" and "printed", as far as it has them.
        lines: how high all that is, in lines of text.
        asks: whether it asks for a prediction.
        picture: the picture (HTML).
        aspect: the picture's width by its height.
        beside: the text that belongs to the picture (HTML).
        beside_lines: how high that would be below the picture.
    """

    blocks: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)
    lines: float = 0
    asks: bool = False
    picture: str = ""
    aspect: float = 1
    beside: str = ""
    beside_lines: float = 0

    def takes(self, kind: str, lines: float) -> bool:
        """Whether it has a place for a block of a kind."""
        if self.picture or self.lines + lines > _ROOM:
            return False
        if kind == "code":
            return self.parts <= {"text"}
        return kind == "text" or bool({"code", "printed"} & self.parts and not self.asks)

    def takes_picture(self) -> bool:
        return not self.picture and "text" not in self.parts and self.lines <= _ABOVE

    def takes_beside(self, source: str) -> bool:
        """Whether a text (Markdown) can stand beside its picture."""
        return bool(self.picture) and not self.beside and len(source) < _BRIEF

    def add(self, kind: str, html: str, lines: float) -> None:
        self.blocks.append(html)
        self.parts.add(kind)
        self.lines += lines

    def html(self) -> str:
        """The slide, for reveal.js. A fold that it has nothing else than is open."""
        inside = "\n".join(self.blocks)
        if _ONE_FOLD.fullmatch(inside):
            inside = inside.replace("<details>", "<details open>")
        if self.picture:
            beside = f'<div class="beside">{self.beside}</div>' if self.beside else ""
            kind = " below" if self._is_larger_above() else ""
            shown = f'<div class="look">{self.picture}</div>{beside}'
            inside += f'\n<div class="shown{kind}">{shown}</div>'
        whole = " whole" if self.picture else ""
        return f'<section><div class="fit{whole}">\n{inside}\n</div></section>\n'

    def _is_larger_above(self) -> bool:
        """Whether the picture is larger above its text than beside it."""
        high = (_ROOM - self.lines) * _LINE
        above = min(_WIDTH, self.aspect * (high - self.beside_lines * _LINE))
        return above > min(_PICTURES_SHARE * _WIDTH, self.aspect * high)


def lines_of_text(source: str) -> float:
    """How high a text (Markdown) is, in lines. A fold has one line, until somebody opens it.

    Example:
        >>> lines_of_text("# A title\\n\\nA sentence.")
        4.0
    """
    folded = _FOLDED.sub("\n\n<fold>\n\n", source)
    blocks = filter(None, (each.strip() for each in folded.split("\n\n")))
    return float(sum(_lines_of_block(each) + 0.5 for each in blocks))


def _lines_of_block(block: str) -> float:
    if block.startswith("#"):
        return 2
    if block.startswith("$$"):
        return 3
    rows = block.splitlines()
    if block.startswith(("|", "-", "*", "1.", "    ", "```")):  # each row is a line of its own
        return sum(math.ceil(len(row) / _LETTERS) for row in rows)
    return math.ceil(len(" ".join(rows)) / _LETTERS)


def lines_of_code(source: str) -> float:
    """How high code, or what it printed, is in lines of text, with its frame."""
    return (source.count("\n") + 1) * _CODE_LINE + 1


def parts_of_code(source: str) -> list[str]:
    """Code in parts that the last row can read: cut where a blank line is, or at least a statement
    at the margin, and else after as many lines as there is room for.

    Example:
        >>> parts_of_code("x = 1")
        ['x = 1']
    """
    lines, parts = source.split("\n"), []
    while len(lines) > _CODE_LINES:
        places = range(_CODE_LINES, _CODE_LINES // 3, -1)
        blank = next((n for n in places if not lines[n - 1].strip()), None)
        margin = next((n for n in places if lines[n][:1] not in ("", " ", ")", "]", "}")), None)
        cut = blank or margin or _CODE_LINES
        parts.append("\n".join(lines[:cut]).strip("\n"))
        lines = lines[cut:]
    return [*parts, "\n".join(lines).strip("\n")]


def aspect_of(png: str) -> float:
    """A picture's width by its height, from its PNG in base64."""
    width, height = struct.unpack(">II", base64.b64decode(png.strip()[:32])[_PNG_SIZE])
    return width / height
