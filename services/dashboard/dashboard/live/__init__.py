"""What moves: each service's readiness and counters, looked at again and again, and what the Overview shows of it."""
