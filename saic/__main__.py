"""``python -m saic`` runs the ``saic`` command."""

from saic.cli import main

main()
