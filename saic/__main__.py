"""``python -m saic`` is the ``saic`` command."""

from saic.cli import main

main()
