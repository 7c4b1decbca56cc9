"""Training: the arithmetic as pure functions (losses, advantages), and one file a stage (pm, policy)."""
