"""The protocol between front ends and storage nodes."""
