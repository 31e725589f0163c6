"""What an agent can anticipate of the reward: ``python -m benchmarks.signal``."""
