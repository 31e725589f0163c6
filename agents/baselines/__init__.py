"""Agents that learn nothing from other slides: what a learned agent must beat."""
