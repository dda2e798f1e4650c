"""``python -m api_shim.cli``: the command line, from wherever the package is importable."""

from api_shim.cli import main

main()
