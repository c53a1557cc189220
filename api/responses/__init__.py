"""Results and failures -> statuses, headers and JSON."""
