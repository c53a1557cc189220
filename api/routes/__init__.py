"""One function per call: request -> validated operation -> node -> answer."""
