"""The front end: an HTTP request becomes an operation; no state that matters, no store."""
