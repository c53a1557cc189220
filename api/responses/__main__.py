"""``python -m api.responses`` prints the table of failures in Markdown."""

from __future__ import annotations

import sys

from api.responses.statuses import table

sys.stdout.write(table())
