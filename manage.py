"""`python manage.py COMMAND`: what `cspm` does, and Django's own commands."""

import sys

from cspm.cli import manage

if __name__ == "__main__":
    sys.exit(manage())
