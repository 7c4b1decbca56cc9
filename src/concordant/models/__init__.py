"""The only room that defines networks: language models, preference models, generation, checkpoints."""

from transformers.utils import logging

# Its bars and load reports are not our users' news: a stage here says what it does in its own words.
logging.set_verbosity_error()
logging.disable_progress_bar()
