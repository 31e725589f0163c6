"""The agent that looks one purchase ahead: what it expects a spot to do for the predictor."""
