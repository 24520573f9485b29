"""Read CSV tables of patients and grades, and refuse in one line what cannot be trusted."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ssl3d_lite.errors import InputError


def read_table(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Rows of a CSV file by their value in the first of ``columns``; all columns must be there.

    Raises:
        InputError: missing or no CSV; a column is not there; a row is empty in the first column, or
            two rows have the same value in it.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise InputError(f"no {path.name} in {path.parent}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        raise InputError(f"{path} cannot be read as a table: {reason}") from None
    if missing := [column for column in columns if column not in header]:
        there = ", ".join(header) or "none"
        raise InputError(f"{path} has no column {' and no '.join(missing)}; its columns: {there}")
    by_name: dict[str, dict[str, str]] = {}
    for number, row in rows:
        if None in row:  # csv's key for what stands beyond the last column
            raise InputError(f"{path} has more values than columns in line {number}; quote commas")
        row = {column: (row[column] or "").strip() for column in columns}
        name = row[columns[0]]
        if not name or name in by_name:
            what = f"a second row for {name!r}" if name else f"no {columns[0]}"
            raise InputError(f"{path} has {what} in line {number}; mend the table")
        by_name[name] = row
    return by_name
