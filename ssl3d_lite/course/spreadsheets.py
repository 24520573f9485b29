"""Tables that a person has saved from a spreadsheet, read whatever program wrote them.

Excel saves with the separator and the letters of its country, learning systems with others. What a
table is made of is kept when it is written again: separator, letters, and columns that we do not
know, such as comments.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, csv_bytes, plain_cell

_MARKS = {  # the bytes with which a file in these letters begins
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATORS = ",;\t|"
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)")


@dataclass
class Sheet:
    """A table and how its file is written."""

    columns: list[str]
    rows: list[dict[str, str]] = field(default_factory=list)
    delimiter: str = ","
    encoding: str = "utf-8"
    lines: list[int] = field(default_factory=list)
    """Line of the file at which each row ends, as an editor counts."""


def read_sheet(path: Path, needed: Iterable[str] = ()) -> Sheet:
    """Read a table, whichever spreadsheet saved it.

    Letters may be UTF-8, UTF-16 or cp1252 (Excel in western Europe), separators commas, semicolons,
    tabs or bars. A column of ``needed`` is found by its name, whatever its case.

    Raises:
        InputError: it cannot be read, or lacks a needed column.
    """
    try:
        data = path.read_bytes()
        encoding = _encoding_of(data)
        text = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    except (OSError, UnicodeDecodeError) as reason:
        why = reason.strerror if isinstance(reason, OSError) else "its letters are of no known kind"
        raise InputError(f"{path} cannot be read: {why}; save it as “CSV UTF-8”") from None
    needed = list(needed)
    first, _, rest = text.partition("\n")
    named = re.fullmatch(r'"?sep=(.)"?;*,*', first.strip("\ufeff"))  # Excel's own first line
    body, skipped = (rest, 1) if named else (text, 0)
    delimiter = named[1] if named else _delimiter_of(body.partition("\n")[0])
    try:
        reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
        found = [(reader.line_num + skipped, cells) for cells in reader]
    except csv.Error as reason:
        raise InputError(f"{path} cannot be read as a table: {reason}") from None
    filled = [(line, list(map(plain_cell, cells))) for line, cells in found if any(cells)]
    sheet = Sheet([], [], delimiter, encoding)
    if filled:
        width = max(len(cells) for _, cells in filled)
        sheet.columns = _columns(filled[0][1], width, needed)
        for line, cells in filled[1:]:
            cells += [""] * (width - len(cells))
            sheet.rows.append(dict(zip(sheet.columns, cells, strict=True)))
            sheet.lines.append(line)
    for name in needed:
        if name not in sheet.columns:
            there = ", ".join(sheet.columns) or "none"
            raise InputError(f"{path} has no column '{name}'; its columns are {there}")
    return sheet


def write_sheet(path: Path, sheet: Sheet) -> None:
    """Write a table with the letters and the separator that it was read with. Letters that the old
    kind does not have make it UTF-8, with the mark by which spreadsheets know it."""
    rows = [{**dict.fromkeys(sheet.columns, ""), **row} for row in sheet.rows]
    whole = csv_bytes(rows, sheet.delimiter).decode()
    try:
        data = whole.encode(sheet.encoding)
    except UnicodeEncodeError:
        data = whole.encode("utf-8-sig")
    atomic_write(path, lambda file: file.write(data))


def number_in(text: str) -> float | None:
    """A number as a person writes it, with a point or a comma; None if it is none."""
    plain = "".join(text.split())
    return float(plain.replace(",", ".")) if _NUMBER.fullmatch(plain) else None


def _encoding_of(data: bytes) -> str:
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    try:
        data.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter_of(header: str) -> str:
    """The separator of a header: names of columns hold none, so it is the most frequent one."""
    return max(_SEPARATORS, key=header.count)


def _columns(cells: list[str], width: int, needed: list[str]) -> list[str]:
    """A name for each column: none is empty, none there twice, needed ones are as we write them."""
    columns: list[str] = []
    for number, cell in enumerate([*cells, *[""] * (width - len(cells))], 1):
        name = cell.strip().lstrip("\ufeff") or f"column {number}"
        name = next((n for n in needed if n.casefold() == name.casefold()), name)
        columns.append(name if name not in columns else f"{name} ({number})")
    return columns
