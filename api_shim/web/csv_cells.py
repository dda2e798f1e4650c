"""Cells of CSV: none is a formula, whoever wrote what it says."""

from __future__ import annotations

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def not_a_formula(text: str) -> str:
    """Return a text as a cell that spreadsheets show, and do not compute."""
    return f"'{text}" if text.startswith(FORMULAS) else text
