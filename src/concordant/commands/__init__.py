"""The verbs of the command line, one file for each group. Handlers import their rooms only when they are called."""
