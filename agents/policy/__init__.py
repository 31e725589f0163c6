"""The learned policy: what it sees, its network, and its face towards sb3-contrib."""
