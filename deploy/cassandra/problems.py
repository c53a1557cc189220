"""What can stop the development cluster, told in one line to whoever started it."""


class ClusterError(Exception):
    """The cluster can't do what was asked; the text is complete and fit to be shown as it is."""
