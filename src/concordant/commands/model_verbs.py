from concordant.commands.outcome import Verbs


def add(verbs: Verbs) -> None:
    pass
