"""The storage node: an operation becomes rows, and the guarantee is kept."""
