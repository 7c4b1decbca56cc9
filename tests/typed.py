"""The check of annotations while tests run: as mypy reads them, so that a whole number may stand for a float."""

from beartype import BeartypeConf, beartype

typed = beartype(conf=BeartypeConf(is_pep484_tower=True))
