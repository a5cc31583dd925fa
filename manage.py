#!/usr/bin/env python
"""Django's door: `python manage.py …`; `cspm …` is the same with shorter words."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cspm.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
