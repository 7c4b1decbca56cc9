"""Reads models and preferences, writes numbers and figures. Never imports the store."""
