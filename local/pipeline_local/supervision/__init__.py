"""What the supervisor decides, and by what it sees and acts: one service's life, its process, its health, the disk."""
