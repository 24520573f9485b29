"""Links in Markdown: found, and led elsewhere. Code is left as it is."""

import posixpath
import re
from collections.abc import Callable, Iterator

_CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|(`+)(?!`).+?(?<!`)\2(?!`)", re.M | re.S)
_LINK = re.compile(
    r"(?P<before>!?\[(?P<words>(?:[^\[\]]|\[[^\[\]]*\])*)\]\()(?P<target>[^()\s]+)(?P<after>[^()]*\))"
    r"|(?P<tag><(?:img|a)\s[^>]*?(?:src|href)=\")(?P<place>[^\"]+)\""
)

Leads = Callable[[str], str | None]


def targets(text: str) -> Iterator[str]:
    """Where the links and pictures of a Markdown text lead to."""
    for link in _LINK.finditer(_without_code(text)):
        yield link["target"] or link["place"]


def relinked(text: str, leads: Leads) -> str:
    """The text with other targets.

    Args:
        leads: target → another one; None makes plain words of the link.
    """
    parts, end = [], 0
    for link in _LINK.finditer(_without_code(text)):
        start, stop = link.span()
        parts.append(text[end:start])
        end = stop
        target = leads(link["target"] or link["place"])
        if link["tag"]:
            parts.append(f'{link["tag"]}{target or ""}"')
        elif target is None:
            parts.append(text[link.start("words") : link.end("words")])
        else:
            words = text[start : link.end("before")]
            parts.append(f"{words}{target}{text[link.start('after') : stop]}")
    return "".join([*parts, text[end:]])


def is_outside(target: str) -> bool:
    """Whether a target leads to the web, to mail, or to a place in its own page."""
    return target.startswith("#") or re.match(r"[a-z]+:", target) is not None


def file_of(target: str, page: str) -> tuple[str, str]:
    """The file that a page's link leads to, by its name in the repository; and its anchor."""
    path, _, anchor = target.partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)), anchor


def way(there: str, page: str) -> str:
    """What a page has to write to lead to the file ``there``; both by their names."""
    return posixpath.relpath(there, posixpath.dirname(page) or ".")


def _without_code(text: str) -> str:
    """The text with as many blanks where there is code, so that places stay the same."""
    return _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
