"""SCR2Net: regression, retrieval and kriging from patch features to expression."""
