"""Stands first on the path of runs, so that ``flows`` is signoff's, also beside another one of that name.

A new interpreter imports ``flows.prefect_flow`` before anything else of ours (``api_shim.names``).
"""

import importlib
import sys

import api_shim  # noqa: F401 - claims our names

sys.modules.pop("flows", None)
# What is imported by this name is what stands there at the end.
sys.modules["flows"] = importlib.import_module("flows")
