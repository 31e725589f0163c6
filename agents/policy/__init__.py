"""The learned policy: what it sees, its network, and how algorithms hold it."""
