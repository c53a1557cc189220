"""What front ends and storage nodes must agree on, and nothing else."""
