"""The parts of the supervisor: a service's lifecycle, its process, its health, the disk."""
