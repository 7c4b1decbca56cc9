"""Collecting choices: the only room that speaks HTTP and to people (paper §2.1, App. D). Never imports models."""
