"""``python -m api_shim.cli``: runs the ``signoff`` command without its script."""

from api_shim.cli import main

main()
