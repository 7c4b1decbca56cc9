"""The only room that defines networks: language models, preference models, generation, checkpoints."""
