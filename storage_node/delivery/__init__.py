"""Who may have which message: claims, leases, acks, and the three guarantees."""
