"""The regular expressions of Jobs, matched in linear time wherever they can be.

* A Job's author writes the expression in Python's syntax, and anybody who may run the Job writes the text. With
  Python's engine some texts of forty letters take hours, during which the whole server stands still. RE2's engine
  never does.
* An expression means the same in both: classes of letters, digits and spaces, which are of ASCII only in RE2, are
  translated.
* What RE2 cannot express, such as a lookbehind, is matched by Python's engine; ``is_linear`` tells, and the start
  warns.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

TOKEN = re.compile(r"\\.|\[\^?\]?|.", re.DOTALL)
"""An escaped character, the beginning of a class with a bracket that belongs to it, or any other character."""

SPACE = r"\t-\r\x1c-\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
LETTERS = r"\p{L}\p{N}_"
ALONE = {
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\w": f"[{LETTERS}]",
    r"\W": f"[^{LETTERS}]",
    r"\s": f"[{SPACE}]",
    r"\S": f"[^{SPACE}]",
    r"\Z": r"\z",
}
"""Python's escapes as RE2's, outside of classes."""
WITHIN = {r"\d": r"\p{Nd}", r"\D": r"\P{Nd}", r"\w": LETTERS, r"\s": SPACE}
"""Python's escapes as RE2's, within classes."""
DIFFERENT = frozenset({r"\b", r"\B"})
"""Escapes that RE2 reads differently, and that cannot be translated."""
FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.UNICODE: ""}


def is_found(regex: str | re.Pattern[str], text: str) -> bool:
    """Say whether a regular expression matches somewhere in a text without white space at its ends."""
    return (_linear(regex) or re.compile(regex)).search(text) is not None


def is_linear(regex: str | re.Pattern[str]) -> bool:
    """Say whether a regular expression is matched in linear time."""
    return _linear(regex) is not None


@lru_cache(maxsize=256)
def _linear(regex: str | re.Pattern[str]) -> Any:
    """Return RE2's expression that finds the same; None if there is none."""
    python = re.compile(regex)
    flags = [*re.RegexFlag(python.flags)]
    translated = _translated(python.pattern)
    if translated is None or not FLAGS.keys() >= {*flags}:
        return None
    letters = "".join(FLAGS[flag] for flag in flags)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"(?{letters}){translated}" if letters else translated, options)
    except re2.error:
        return None


def _translated(pattern: str) -> str | None:
    if "[:" in pattern or "{," in pattern:
        # A class with a colon, and "up to": RE2 reads something else.
        return None
    within, parts = False, []
    for token in TOKEN.findall(pattern):
        if token in DIFFERENT or (within and token in {r"\W", r"\S"}):
            return None
        if within and token.startswith("["):
            # Within a class this is the bracket itself, and perhaps its end.
            parts.append(r"\[" + token[1:].replace("^", r"\^"))
            within = not token.endswith("]")
            continue
        parts.append((WITHIN if within else ALONE).get(token, token))
        within = not token.endswith("]") if within else token.startswith("[")
    return "".join(parts)
